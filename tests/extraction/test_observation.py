"""Faces and motion in real, broken and unusual videos."""

import cv2
import numpy as np
import pytest

from pipeline.config.extraction import DynamicConfig, ExtractionConfig, FacesConfig, SamplingConfig
from pipeline.extraction.observation import VideoObserver
from pipeline.extraction.tasks import ClipError
from tests.extraction.drawn_videos import draw_frames, remux, with_hole, write_video

pytestmark = pytest.mark.slow


def num_seen(observed):
    return sum(step is not None for step in observed.steps)


def observer(*, static_px=112, with_colour=False, **settings):
    config = ExtractionConfig(**settings)
    return VideoObserver(config, static_px=static_px, with_colour=with_colour)


@pytest.fixture(scope="module")
def short(tmp_path_factory, face_frames):
    return write_video(tmp_path_factory.mktemp("short") / "a.mp4", face_frames)


def test_every_step_of_the_real_clips_has_a_face(observe, clips):
    for clip in clips:
        observed = observe(clip)
        assert num_seen(observed) == 16
        assert observed.num_decoded == observed.num_wanted == 32
        assert observed.warnings == []
        assert [len(found) for found in observed.faces] == [1] * 16
        seconds = [step.seconds for step in observed.steps]
        np.testing.assert_allclose(np.diff(seconds), 15.3 / 16, atol=0.03)
        assert seconds[0] < 0.5
        assert seconds[-1] > 14.7


def test_flow_measures_a_moving_camera_without_detector_jitter(observe, tmp_path, face_frames):
    still = face_frames[0]
    frames = [np.ascontiguousarray(still[:, 2 * n : 2 * n + 540]) for n in range(40)]
    observed = observe(write_video(tmp_path / "a.mp4", frames, options={"crf": "10"}))
    speeds = np.stack([step.speeds for step in observed.steps if step is not None])
    inner = speeds[:, 0, 40:-40, 40:-40]
    across = np.median(inner[..., 0], axis=(1, 2))
    assert across.std() < 0.1 * abs(across.mean())
    assert np.abs(np.median(inner[..., 1], axis=(1, 2))).max() < 0.1 * abs(across.mean())
    assert across.mean() < 0  # the image moves left


def test_a_window_with_several_pairs_has_several_fields(short):
    settings = {"sampling": SamplingConfig(num_steps=3), "dynamic": DynamicConfig(num_pairs=4)}
    observed = observer(**settings)(short)
    assert [step.speeds.shape for step in observed.steps] == [(4, 112, 112, 2)] * 3


def test_crops_for_a_network_are_rgb_and_have_the_input_size(short):
    crop = observer(static_px=160, with_colour=True)(short).steps[0].static_crop
    assert crop.shape == (160, 160, 3)
    assert crop[..., 0].mean() > crop[..., 2].mean()  # skin is more red than blue


def test_one_of_two_people_is_tracked(observe, tmp_path, face_frames):
    def beside(frame):
        smaller = cv2.resize(frame, (480, 270))[:, 120:360]
        return np.hstack([frame, cv2.copyMakeBorder(smaller, 45, 45, 0, 0, cv2.BORDER_REPLICATE)])

    frames = [np.ascontiguousarray(beside(frame)[:360, :880]) for frame in face_frames[:20]]
    observed = observe(write_video(tmp_path / "a.mp4", frames))
    assert max(len(found) for found in observed.faces) == 2
    places = [step.face.centre[0] for step in observed.steps if step is not None]
    assert len(places) == 16
    assert np.ptp(places) < 0.1


@pytest.mark.parametrize(("has_face", "num_seen", "min_share"), [(False, 0, 0.5), (True, 8, 0.75)])
def test_a_video_with_too_few_faces_fails(half, tmp_path, has_face, num_seen, min_share):
    path = half if has_face else write_video(tmp_path / "a.mp4", draw_frames(40))
    with pytest.raises(ClipError, match=f"face is visible in {num_seen} of 16") as caught:
        observer(faces=FacesConfig(min_share=min_share))(path)
    assert caught.value.stage == "face"


def test_a_cut_file_leads_to_a_warning_or_an_error(observe, tmp_path, clips):
    content = remux(clips[0], tmp_path / "whole.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: int(len(content) * 0.7)])
    observed = observe(path)
    assert 0.6 < observed.timeline.coverage < 0.8
    assert "of the stated duration" in observed.warnings[0]
    assert max(step.seconds for step in observed.steps if step is not None) > 8
    path.write_bytes(content[: int(len(content) * 0.3)])
    with pytest.raises(ClipError, match="the file is cut"):
        observe(path)


def test_steps_in_a_hole_are_empty(observe, tmp_path, clips):
    path = with_hole(clips[0], tmp_path / "hole.mp4", at=0.85, num_bytes=200_000)
    observed = observe(path)
    assert observed.num_decoded < observed.num_wanted
    assert "the file is damaged in" in observed.warnings[0]
    assert "frames could be decoded" in observed.warnings[1]
    assert num_seen(observed) < 16


def test_lost_frames_lead_to_a_warning_or_an_error(observe, tmp_path, clips):
    whole = remux(clips[0], tmp_path / "whole.mkv")
    path = with_hole(whole, tmp_path / "hole.mkv", at=0.5, num_bytes=300_000)
    observed = observe(path)
    assert observed.timeline.coverage < 0.7
    assert any(
        "gaps without frames: 1, the longest 6.0 s" in warning for warning in observed.warnings
    )
    with pytest.raises(
        ClipError, match=r"cover 61% .* \(15\.3 s\), .* 80% are needed; the file has holes"
    ):
        observer(sampling=SamplingConfig(min_coverage=0.8))(path)


def test_motion_is_not_measured_across_a_stall(observe, tmp_path, face_frames):
    ticks = [33 * number + 2500 * (number >= 24) for number in range(48)]
    observed = observe(write_video(tmp_path / "a.mkv", face_frames, ticks=ticks))
    far = [step.speeds is None for step in observed.steps]
    assert 0 < sum(far) == observed.num_far < 16
    assert any(f"motion is not measured at {sum(far)} of 16" in each for each in observed.warnings)
