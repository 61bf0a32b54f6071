"""Frames are those of a full decode, byte for byte, however few of them are wanted."""

import numpy as np
import pytest

from pipeline.extraction.decode import iterate_frames
from pipeline.extraction.failures import ClipError
from pipeline.extraction.sampling import choose_instants, choose_windows
from pipeline.extraction.video import read_timeline
from tests.extraction.drawn_videos import decode_all, draw_frames, write_video


def content(frame):
    return frame.to_ndarray(format="yuv420p").tobytes()


def sampled(path, num_steps=16):
    timeline = read_timeline(path)
    instants = choose_instants(timeline.seconds, num_steps)
    windows = choose_windows(timeline.seconds, instants, num_pairs=1, pair_seconds=1 / 30)
    wanted = set(timeline.pts[windows.ravel()].tolist())
    return wanted, list(iterate_frames(path, timeline.codec, wanted))


def test_sampled_frames_of_real_clips_equal_those_of_a_full_decode(clips):
    for clip in clips:
        wanted, frames = sampled(clip)
        assert {frame.pts for frame in frames} == wanted
        full = decode_all(clip)
        assert all(content(frame) == content(full[frame.pts]) for frame in frames)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "3", "b-pyramid": "normal"}),
        ("libx264", {"bf": "0"}),
        ("libx265", {}),
        ("libvpx-vp9", {}),
        ("mpeg4", {"bf": "2"}),
        ("libsvtav1", {}),
    ],
)
def test_sampled_frames_of_any_codec_equal_those_of_a_full_decode(tmp_path, codec, options):
    path = write_video(tmp_path / "a.mkv", draw_frames(90), codec=codec, options=options)
    wanted, frames = sampled(path, num_steps=5)
    assert {frame.pts for frame in frames} == wanted
    full = decode_all(path)
    assert all(content(frame) == content(full[frame.pts]) for frame in frames)


def test_each_frame_comes_once(clips):
    _, frames = sampled(clips[0])
    stamps = [frame.pts for frame in frames]
    assert len(set(stamps)) == len(stamps)


def test_when_skipping_loses_frames_everything_is_decoded(clips):
    # The AV1 decoder does not obey; told to skip it, the second pass has to bring the rest.
    wanted, _ = sampled(clips[0], num_steps=4)
    late = max(read_timeline(clips[0]).pts.tolist()) + 1  # never comes
    frames = list(iterate_frames(clips[0], "h264", wanted | {late}))
    assert {frame.pts for frame in frames} == wanted
    assert len(frames) == len(wanted)


def test_damaged_frames_are_left_out(tmp_path, clips):
    damaged = bytearray(clips[0].read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 300_000] = bytes(300_000)
    path = tmp_path / "hole.mp4"
    path.write_bytes(damaged)
    wanted, frames = sampled(path)
    assert 0 < len(frames) < len(wanted)
    full = decode_all(clips[0])
    assert all(content(frame) == content(full[frame.pts]) for frame in frames)


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(ClipError, match="No such file"):
        list(iterate_frames(tmp_path / "a.mp4", "h264", {0}))


def test_nothing_is_decoded_for_nothing(clips):
    assert list(iterate_frames(clips[0], "h264", np.array([], dtype=int).tolist())) == []
