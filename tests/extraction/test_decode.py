"""Sampled frames equal the frames of a full decode, and damaged frames are omitted."""

import functools
import hashlib

import av
import numpy as np
import pytest

from pipeline.extraction.video.decode import iterate_frames
from pipeline.extraction.video.sampling import choose_instants, choose_windows
from pipeline.extraction.video.video import read_timeline
from tests.extraction.drawn_videos import (
    decode_all,
    draw_frames,
    draw_noise,
    remux,
    small_copy,
    with_hole,
    write_video,
)

pytestmark = pytest.mark.slow


def content(frame):
    return hashlib.blake2b(frame.to_ndarray(format="yuv420p").tobytes()).digest()


@functools.cache
def full_decode(path):
    """Return the hash of every frame in a file, by timestamp."""
    return {pts: content(frame) for pts, frame in decode_all(path).items()}


def assert_undamaged(frames, whole):
    full = full_decode(whole)
    assert all(content(frame) == full[frame.pts] for frame in frames)


def sampled(path, num_steps=16):
    timeline = read_timeline(path)
    instants = choose_instants(timeline.seconds, num_steps)
    windows = choose_windows(timeline.seconds, instants, num_pairs=1, pair_seconds=1 / 30)
    wanted = set(timeline.pts[windows.ravel()].tolist())
    return wanted, list(iterate_frames(path, timeline.codec, wanted))


def test_sampled_frames_of_real_clips_equal_a_full_decode(clips):
    for clip in clips:
        wanted, frames = sampled(clip)
        assert {frame.pts for frame in frames} == wanted
        assert_undamaged(frames, clip)


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
def test_sampled_frames_of_any_codec_equal_a_full_decode(tmp_path, codec, options):
    path = write_video(tmp_path / "a.mkv", draw_frames(90), codec=codec, options=options)
    wanted, frames = sampled(path, num_steps=5)
    assert {frame.pts for frame in frames} == wanted
    assert_undamaged(frames, path)


def test_frames_lost_by_skipping_are_decoded_in_a_second_pass(clips):
    wanted, _ = sampled(clips[0], num_steps=4)
    late = max(read_timeline(clips[0]).pts.tolist()) + 1  # does not exist
    frames = list(iterate_frames(clips[0], "h264", wanted | {late}))
    assert {frame.pts for frame in frames} == wanted
    assert len(frames) == len(wanted)


def test_frames_of_an_avi_are_in_presentation_order(tmp_path):
    path = write_video(tmp_path / "a.avi", draw_frames(60), options={"bf": "3"})
    timeline = read_timeline(path)
    np.testing.assert_allclose(timeline.seconds, np.arange(60) / 30)
    frames = iterate_frames(path, timeline.codec, timeline.pts.tolist())
    by_pts = {frame.pts: content(frame) for frame in frames}
    with av.open(str(path)) as container:
        shown = [content(frame) for frame in container.decode(video=0)]
    assert [by_pts[pts] for pts in timeline.pts.tolist()] == shown


@pytest.fixture(scope="module")
def whole_clip(clips, tmp_path_factory):
    """Return a function that writes a small copy of a real clip to a container."""
    folder = tmp_path_factory.mktemp("whole")
    clip = small_copy(clips[0], folder / "small.mp4")
    return functools.cache(lambda container: remux(clip, folder / f"whole.{container}"))


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize(("at", "num_bytes"), [(0.75, 2048), (0.3, 200), (0.5, 30_000)])
@pytest.mark.parametrize("noise", [False, True], ids=["zeros", "noise"])
def test_no_frame_depends_on_damage(tmp_path, whole_clip, container, at, num_bytes, noise):
    whole = whole_clip(container)
    path = tmp_path / f"hole.{container}"
    with_hole(whole, path, at=at, num_bytes=num_bytes, noise=noise)
    wanted, frames = sampled(path)
    assert 8 < len(frames) < len(wanted)
    assert_undamaged(frames, whole)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.webm", "libvpx"),
        ("a.webm", "libvpx-vp9"),
        ("a.mkv", "libsvtav1"),
        ("a.mp4", "libx265"),
        ("a.ts", "libx264"),
        ("a.flv", "libx264"),
        ("a.mp4", "mpeg4"),
    ],
)
def test_frames_after_the_next_keyframe_are_undamaged(tmp_path, name, codec):
    whole = write_video(tmp_path / name, draw_noise(90), codec=codec, options={"g": "15"})
    path = with_hole(whole, tmp_path / f"hole_{name}", at=0.5, num_bytes=2048)
    timeline = read_timeline(path)
    frames = list(iterate_frames(path, timeline.codec, timeline.pts.tolist()))
    assert 40 < len(frames) < len(timeline.pts)
    assert max(frame.pts for frame in frames) == timeline.pts[-1]
    assert_undamaged(frames, whole)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.webm", "libvpx"),
        ("a.webm", "libvpx-vp9"),
        ("a.mkv", "libsvtav1"),
        ("a.mp4", "libx264"),
        ("a.mp4", "libx265"),
        ("a.ts", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.mpg", "mpeg2video"),
    ],
)
@pytest.mark.parametrize("level", [0, 255])
def test_a_uniform_image_is_not_damaged(tmp_path, name, codec, level):
    frames = [np.full((96, 160, 3), level, dtype=np.uint8)] * 30
    path = write_video(tmp_path / name, frames, codec=codec)
    timeline = read_timeline(path)
    assert timeline.num_damaged == 0
    found = {frame.pts for frame in iterate_frames(path, timeline.codec, timeline.pts.tolist())}
    assert found == set(timeline.pts.tolist())
