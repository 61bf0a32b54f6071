"""What is seen in real, broken and odd videos."""

import numpy as np
import pytest

from pipeline.config.extraction import DynamicConfig, ExtractionConfig, FacesConfig, SamplingConfig
from pipeline.extraction.failures import ClipError
from pipeline.extraction.observation import VideoObserver
from tests.extraction.drawn_videos import draw_frames, remux, with_hole, write_video

pytestmark = pytest.mark.slow


def num_seen(seen):
    return sum(step is not None for step in seen.steps)


@pytest.fixture(scope="module")
def short(tmp_path_factory, face_frames):
    return write_video(tmp_path_factory.mktemp("short") / "a.mp4", face_frames)


def test_a_face_is_seen_in_every_step_of_the_real_clips(observe, clips):
    for clip in clips:
        seen = observe(clip)
        assert num_seen(seen) == 16
        assert seen.num_decoded == seen.num_wanted == 32
        assert seen.warnings == []
        assert [len(found) for found in seen.faces] == [1] * 16


def test_steps_are_spread_over_the_whole_clip(observe, clips):
    seconds = [step.seconds for step in observe(clips[0]).steps]
    np.testing.assert_allclose(np.diff(seconds), 15.3 / 16, atol=0.03)
    assert seconds[0] < 0.5
    assert seconds[-1] > 14.7


def test_two_looks_see_the_same(observe, clips):
    first, second = observe(clips[1]), observe(clips[1])
    for one, other in zip(first.steps, second.steps, strict=True):
        np.testing.assert_array_equal(one.crop, other.crop)
        np.testing.assert_array_equal(one.speeds, other.speeds)


def test_a_still_video_of_a_face_does_not_move(observe, tmp_path, face_frames):
    path = write_video(tmp_path / "a.mp4", face_frames[:1] * 40, options={"qp": "0"})
    assert max(np.abs(step.speeds).max() for step in observe(path).steps) < 0.05


def test_a_camera_that_pans_is_measured_and_not_the_detector(observe, tmp_path, face_frames):
    still = face_frames[0]
    frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 540]) for n in range(40)]
    seen = observe(write_video(tmp_path / "a.mp4", frames, options={"crf": "10"}))
    speeds = np.stack([step.speeds for step in seen.steps if step is not None])
    inner = speeds[:, 0, 40:-40, 40:-40]
    across = np.median(inner[..., 0], axis=(1, 2))
    assert across.std() < 0.1 * abs(across.mean())
    assert np.abs(np.median(inner[..., 1], axis=(1, 2))).max() < 0.1 * abs(across.mean())
    assert across.mean() < 0  # the picture moves left


def test_a_window_of_several_pairs_has_a_field_each(short):
    config = ExtractionConfig(
        sampling=SamplingConfig(num_steps=3), dynamic=DynamicConfig(num_pairs=4)
    )
    seen = VideoObserver(config, static_px=112, with_colour=False)(short)
    assert [step.speeds.shape for step in seen.steps] == [(4, 112, 112, 2)] * 3


def test_crops_for_a_network_are_in_colour_and_of_its_size(short):
    seen = VideoObserver(ExtractionConfig(), static_px=160, with_colour=True)(short)
    crop = seen.steps[0].static_crop
    assert crop.shape == (160, 160, 3)
    assert crop[..., 0].mean() > crop[..., 2].mean()  # RGB: skin is red before blue


def test_a_variable_rate_is_followed_by_time(observe, tmp_path, face_frames):
    ticks = np.cumsum([0] + [33, 33, 150, 33] * 12)[:48].tolist()
    seen = observe(write_video(tmp_path / "a.mkv", face_frames, ticks=ticks))
    assert num_seen(seen) == 16
    assert seen.timeline.is_variable


def test_a_4k_video_costs_no_more_memory_a_frame(observe, tmp_path, face_frames):
    import cv2

    frames = [cv2.resize(frame, (3840, 2160)) for frame in face_frames[:3]]
    options = {"preset": "ultrafast"}
    seen = observe(write_video(tmp_path / "a.mp4", frames, options=options))
    assert num_seen(seen) == 3
    assert (seen.width, seen.height) == (1280, 720)


def test_a_portrait_video_is_seen(observe, tmp_path, face_frames):
    frames = [np.ascontiguousarray(frame[:, 200:400]) for frame in face_frames[:20]]
    assert num_seen(observe(write_video(tmp_path / "a.mp4", frames))) == 16


def test_of_two_people_one_is_followed(observe, tmp_path, face_frames):
    import cv2

    def beside(frame):
        smaller = cv2.resize(frame, (480, 270))[:, 120:360]
        return np.hstack([frame, cv2.copyMakeBorder(smaller, 45, 45, 0, 0, cv2.BORDER_REPLICATE)])

    frames = [np.ascontiguousarray(beside(frame)[:360, :880]) for frame in face_frames[:20]]
    seen = observe(write_video(tmp_path / "a.mp4", frames))
    assert max(len(found) for found in seen.faces) == 2
    places = [step.face.centre[0] for step in seen.steps if step is not None]
    assert len(places) == 16
    assert np.ptp(places) < 0.1


def test_a_single_frame_has_a_face_and_no_motion(observe, tmp_path, face_frames):
    seen = observe(write_video(tmp_path / "a.mp4", face_frames[:1]))
    assert num_seen(seen) == 1
    assert seen.steps[0].speeds is None


def test_a_video_without_a_face_fails_with_how_often_one_was_seen(observe, tmp_path):
    path = write_video(tmp_path / "a.mp4", draw_frames(40))
    with pytest.raises(ClipError, match="seen in 0 of 16 sampled frames") as refusal:
        observe(path)
    assert refusal.value.stage == "face"


def test_a_face_that_is_there_too_rarely_is_not_enough(tmp_path, face_frames):
    blank = [np.full_like(face_frames[0], 90)] * 24
    path = write_video(tmp_path / "a.mp4", face_frames[:24] + blank)
    config = ExtractionConfig(faces=FacesConfig(min_share=0.75))
    with pytest.raises(ClipError, match="face is seen in 8 of 16"):
        VideoObserver(config, static_px=112, with_colour=False)(path)


def test_steps_without_the_face_are_empty(observe, tmp_path, face_frames):
    blank = [np.full_like(face_frames[0], 90)] * 24
    seen = observe(write_video(tmp_path / "a.mp4", face_frames[:24] + blank))
    assert [step is None for step in seen.steps] == [False] * 8 + [True] * 8


def test_a_file_that_is_cut_is_used_as_far_as_it_goes_and_said(observe, tmp_path, clips):
    content = remux(clips[0], tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: int(len(content) * 0.7)])
    seen = observe(path)
    assert 0.6 < seen.timeline.coverage < 0.8
    assert seen.warnings
    assert "of the stated duration" in seen.warnings[0]
    assert max(step.seconds for step in seen.steps if step is not None) > 8


def test_a_file_of_which_most_is_missing_fails(observe, tmp_path, clips):
    content = remux(clips[0], tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: int(len(content) * 0.3)])
    with pytest.raises(ClipError, match="the file is cut"):
        observe(path)


def test_a_hole_in_a_file_is_said_and_its_steps_are_empty(observe, tmp_path, clips):
    damaged = bytearray(clips[0].read_bytes())
    middle = int(len(damaged) * 0.85)
    damaged[middle : middle + 200_000] = bytes(200_000)
    path = tmp_path / "hole.mp4"
    path.write_bytes(damaged)
    seen = observe(path)
    assert seen.num_decoded < seen.num_wanted
    assert any("frames could be decoded" in warning for warning in seen.warnings)
    assert num_seen(seen) < 16


def test_a_hole_that_the_decoder_conceals_is_said(observe, tmp_path, clips):
    whole = remux(clips[0], tmp_path / "whole.mkv")
    seen = observe(with_hole(whole, tmp_path / "hole.mkv", at=0.75, num_bytes=2048))
    assert seen.num_decoded < seen.num_wanted
    assert "damaged in 1 places" in seen.warnings[0]
    assert "frames could be decoded" in seen.warnings[1]


def test_a_hole_in_which_frames_are_lost_is_said(observe, tmp_path, clips):
    whole = remux(clips[0], tmp_path / "whole.mkv")
    seen = observe(with_hole(whole, tmp_path / "hole.mkv", at=0.5, num_bytes=300_000))
    assert seen.timeline.coverage < 0.7
    assert any("no frame for up to 6.0 s" in warning for warning in seen.warnings)


def test_a_file_of_holes_fails(tmp_path, clips):
    whole = remux(clips[0], tmp_path / "whole.mkv")
    path = with_hole(whole, tmp_path / "hole.mkv", at=0.5, num_bytes=300_000)
    config = ExtractionConfig(sampling=SamplingConfig(min_coverage=0.8))
    with pytest.raises(ClipError, match=r"cover 61% of the 15.3 s .*the file has holes"):
        VideoObserver(config, static_px=112, with_colour=False)(path)


def test_motion_is_not_measured_over_a_stall(observe, tmp_path, face_frames):
    ticks = [33 * number + 2500 * (number >= 24) for number in range(48)]
    seen = observe(write_video(tmp_path / "a.mkv", face_frames, ticks=ticks))
    far = [step.speeds is None for step in seen.steps]
    assert 0 < sum(far) == seen.num_far < 16
    assert any(f"no motion is measured at {sum(far)} of 16" in said for said in seen.warnings)


def test_frames_a_second_apart_show_no_motion(observe, tmp_path, face_frames):
    seen = observe(write_video(tmp_path / "a.mp4", face_frames[:20], rate=1))
    assert num_seen(seen) == seen.num_far == 16
    assert all(step.speeds is None for step in seen.steps)
