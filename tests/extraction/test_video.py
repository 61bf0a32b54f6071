"""Frame times and missing parts are read from a video file."""

import struct

import av
import numpy as np
import pytest

from pipeline.extraction.sources import find_videos
from pipeline.extraction.tasks import ClipError
from pipeline.extraction.video.video import read_timeline
from tests.extraction.drawn_videos import (
    decode_all,
    draw_frames,
    draw_noise,
    with_hole,
    without_duration_tag,
    write_video,
    write_with_sound,
)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.mp4", draw_frames(60))


def test_timestamps_equal_the_timestamps_of_decoded_frames(clips):
    for clip in clips:
        assert read_timeline(clip).pts.tolist() == sorted(decode_all(clip))


def test_a_complete_clip_is_covered(clips):
    for clip in clips:
        timeline = read_timeline(clip)
        assert timeline.coverage == pytest.approx(1.0, abs=0.001)
        assert timeline.duration_seconds == pytest.approx(15.3, abs=0.02)
        assert not timeline.is_variable


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.mov", "libx265"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
        ("b.avi", "libx264"),
        ("a.wmv", "wmv2"),
        ("a.asf", "wmv2"),
        ("a.flv", "flv"),
        ("a.f4v", "libx264"),
        ("a.ts", "libx264"),
        ("a.mts", "libx264"),
        ("a.m2ts", "libx264"),
        ("a.3gp", "libx264"),
        ("a.3g2", "libx264"),
        ("a.ogv", "libvpx"),
        ("a.mpg", "mpeg1video"),
        ("a.vob", "mpeg2video"),
        ("a.mxf", "mpeg2video"),
        ("a.rm", "rv10"),
        ("a.y4m", "rawvideo"),
    ],
)
def test_frame_times_are_read_from_every_container(tmp_path, name, codec):
    path = write_video(tmp_path / name, draw_frames(31), codec=codec)
    assert list(find_videos(tmp_path).by_id) == [name]
    timeline = read_timeline(path)
    assert timeline.pts.tolist() == list(decode_all(path))  # in presentation order
    np.testing.assert_allclose(timeline.seconds, np.arange(31) / 30, atol=0.002)
    assert timeline.coverage == pytest.approx(1.0, abs=0.01)


def test_a_variable_rate_is_detected(tmp_path):
    ticks = [0, 33, 66, 300, 333, 700, 733, 766, 1500, 1533]
    path = write_video(tmp_path / "a.mkv", draw_frames(10), ticks=ticks)
    timeline = read_timeline(path)
    np.testing.assert_allclose(timeline.seconds * 1000, ticks, atol=1)
    assert timeline.is_variable


def test_the_frame_rate_is_exact_despite_rounded_times(tmp_path):
    timeline = read_timeline(write_video(tmp_path / "a.mkv", draw_frames(31)))
    assert timeline.step_seconds == pytest.approx(0.033)  # Matroska rounds to milliseconds
    assert timeline.frames_per_second == pytest.approx(30)


def test_lost_frames_in_the_middle_are_not_covered(tmp_path):
    options = {"g": "15", "b": "2000000", "deadline": "realtime", "cpu-used": "8"}
    whole = write_video(tmp_path / "a.webm", draw_noise(300), codec="libvpx", options=options)
    num_bytes = int(0.4 * whole.stat().st_size)
    holed = read_timeline(with_hole(whole, tmp_path / "b.webm", at=0.3, num_bytes=num_bytes))
    assert holed.coverage == pytest.approx(len(holed.pts) / 300, abs=0.02)
    assert holed.coverage < 0.65
    assert holed.gaps.tolist() == [pytest.approx(10 * (1 - holed.coverage), abs=0.2)]
    assert holed.num_damaged
    assert read_timeline(whole).num_damaged == 0


def test_a_stall_is_a_gap_without_damage(tmp_path):
    ticks = [33 * number + 2500 * (number >= 30) for number in range(60)]
    timeline = read_timeline(write_video(tmp_path / "a.mkv", draw_frames(60), ticks=ticks))
    assert timeline.gaps.tolist() == [pytest.approx(2.533, abs=0.002)]
    assert timeline.coverage == pytest.approx(2 / 4.5, abs=0.02)
    assert timeline.num_damaged == 0


def test_a_slow_clip_has_no_gaps(tmp_path):
    timeline = read_timeline(write_video(tmp_path / "a.mp4", draw_frames(6), rate=1))
    assert not len(timeline.gaps)
    assert timeline.coverage == pytest.approx(1.0)


@pytest.mark.parametrize("sound_seconds", [3.3, 7.0])
@pytest.mark.parametrize("is_tagged", [True, False])
def test_longer_sound_does_not_reduce_the_coverage(tmp_path, sound_seconds, is_tagged):
    path = write_with_sound(tmp_path / "a.webm", 90, sound_seconds=sound_seconds)
    if not is_tagged:
        path = without_duration_tag(path, tmp_path / "b.webm")
    timeline = read_timeline(path)
    assert timeline.duration_seconds == pytest.approx(3.0, abs=0.05)
    assert timeline.coverage > 0.98


@pytest.mark.parametrize("is_tagged", [True, False])
def test_a_cut_file_with_sound_has_a_low_coverage(tmp_path, is_tagged):
    path = write_with_sound(tmp_path / "a.webm", 90, sound_seconds=3.0)
    if not is_tagged:
        path = without_duration_tag(path, tmp_path / "b.webm")
    cut = tmp_path / "cut.webm"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert 0.4 < read_timeline(cut).coverage < 0.8


def test_frames_hidden_by_an_edit_list_are_omitted(tmp_path):
    whole = write_video(tmp_path / "a.mp4", draw_frames(60))
    path = tmp_path / "edited.mp4"
    path.write_bytes(_with_edit(whole.read_bytes(), skip_share=0.5))
    assert sorted(decode_all(path)) == read_timeline(path).pts.tolist()
    assert len(read_timeline(path).pts) < 40


def _with_edit(content, *, skip_share):
    """Return the content with an edit list that hides the beginning of the only track."""
    start = content.index(b"elst")
    duration, media_time = struct.unpack(">Ii", content[start + 12 : start + 20])
    timescale_at = content.index(b"mdhd") + 16
    (timescale,) = struct.unpack(">I", content[timescale_at : timescale_at + 4])
    skipped = int(duration / 1000 * skip_share * timescale) + media_time
    kept = int(duration * (1 - skip_share))
    return content[: start + 12] + struct.pack(">Ii", kept, skipped) + content[start + 20 :]


def without_index(content):
    return content[: content.index(b"moov") - 4] + content[-4000:]


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda _: b"a text and no video" * 40, lambda _: bytes(9999), without_index],
    ids=["empty", "text", "zeros", "without index"],
)
def test_a_file_that_is_not_a_video_is_an_error(video, damage):
    video.write_bytes(damage(video.read_bytes()))
    with pytest.raises(ClipError, match="not a readable video") as caught:
        read_timeline(video)
    assert caught.value.stage == "open"


def test_a_file_with_only_sound_is_an_error(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ClipError, match="no video stream"):
        read_timeline(path)


def test_a_playlist_named_as_a_video_opens_no_other_file(tmp_path, video):
    playlist = tmp_path / "list.mp4"
    for text in (
        f"ffconcat version 1.0\nfile {video.name}\n",
        f"#EXTM3U\n#EXTINF:2,\n{video.name}\n#EXT-X-ENDLIST\n",
    ):
        playlist.write_text(text)
        with pytest.raises(ClipError, match="not a readable video"):
            read_timeline(playlist)
