"""Two streams with masks, and quality measures, are extracted from a clip."""

import cv2
import numpy as np
import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.extraction.clip import ClipExtractor, brightness, mean_speed, sharpness
from pipeline.extraction.tasks import ClipError, ClipSource, Job
from tests.extraction.drawn_videos import write_video

NOISE = np.random.default_rng(0).integers(0, 256, (112, 112), dtype=np.uint8)


@pytest.fixture(scope="module")
def extract():
    extract = ClipExtractor(Job(config=ExtractionConfig()))
    return lambda path, **options: extract(ClipSource(clip_id="a.mp4", video=path), **options)


@pytest.fixture(scope="module")
def real(extract, clips):
    return extract(clips[0], with_strip=True)


@pytest.mark.slow
def test_a_clip_has_sixteen_steps_of_both_streams(real):
    assert real.static.shape == (16, 512)
    assert real.dynamic.shape == (16, 256)
    assert real.static.dtype == real.dynamic.dtype == np.float32
    assert real.static_mask.all()
    assert real.dynamic_mask.all()
    assert (np.diff(real.seconds) > 0.5).all()
    assert ((real.boxes >= 0) & (real.boxes <= 1)).all()


@pytest.mark.slow
def test_quality_measures_of_a_real_clip_are_plausible(real):
    quality = real.quality
    assert quality["face_share"] == 1.0
    assert quality["most_faces"] == 1
    assert quality["frames_decoded"] == quality["frames_wanted"] == 32
    assert quality["duration_seconds"] == pytest.approx(15.3, abs=0.05)
    assert quality["frames_per_second"] == pytest.approx(29.97, abs=0.1)
    assert 200 < quality["face_px"] < 400
    assert quality["sharpness"] > 20
    assert 0.2 < quality["brightness"] < 0.8
    assert 0 < quality["motion"] < 1


@pytest.mark.slow
def test_absent_steps_are_masked_and_zero(extract, half, tmp_path, face_frames):
    short = extract(write_video(tmp_path / "short.mp4", face_frames[:5]))
    assert short.static_mask.tolist() == [True] * 5 + [False] * 11
    clip = extract(half)
    assert clip.static_mask.tolist() == clip.dynamic_mask.tolist() == [True] * 8 + [False] * 8
    assert not clip.static[8:].any()
    assert not clip.dynamic[8:].any()
    assert clip.static[:8].any(axis=1).all()
    assert np.isnan(clip.seconds[8:]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_frames", "rate", "message"),
    [
        (1, 30, "too few frames for measuring motion"),
        (20, 1, r"at most 0\.25 s apart, but are 1\.00 s"),
    ],
)
def test_a_clip_without_motion_fails(extract, tmp_path, face_frames, num_frames, rate, message):
    path = write_video(tmp_path / "a.mp4", face_frames[:num_frames], rate=rate)
    with pytest.raises(ClipError, match=message) as caught:
        extract(path)
    assert caught.value.stage == "decode"


@pytest.fixture
def precomputed(tmp_path):
    faces, flow = tmp_path / "faces", tmp_path / "flow"
    faces.mkdir()
    flow.mkdir()
    for number in range(20):
        image = np.random.default_rng(number).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(faces / f"face_{number}.png"), image)
        np.save(flow / f"flow_{number}.npy", np.full((30, 30, 2), number, dtype=np.float32))
    return ClipSource(clip_id="a", face_dir=faces, flow_dir=flow)


def test_precomputed_faces_and_flow_need_no_video(precomputed):
    job = Job(config=ExtractionConfig(), has_faces=True, has_flow=True)
    clip = ClipExtractor(job)(precomputed)
    assert clip.static.shape == (16, 512)
    assert clip.dynamic.shape == (16, 256)
    assert clip.static_mask.all()
    assert clip.dynamic[-1].max() > clip.dynamic[0].max()
    assert clip.quality.keys() == {"motion"}


@pytest.mark.slow
def test_precomputed_faces_replace_only_the_static_stream(precomputed, clips, real):
    source = ClipSource(clip_id="a", video=clips[0], face_dir=precomputed.face_dir)
    clip = ClipExtractor(Job(config=ExtractionConfig(), has_faces=True))(source)
    np.testing.assert_array_equal(clip.dynamic, real.dynamic)
    assert not np.allclose(clip.static, real.static)


def test_blurred_and_flat_crops_are_less_sharp():
    assert sharpness(cv2.GaussianBlur(NOISE, (0, 0), 2)) < 0.1 * sharpness(NOISE)
    assert sharpness(np.full((112, 112), 77, dtype=np.uint8)) == 0


def test_sharpness_hardly_depends_on_the_size_of_the_crop():
    crop = cv2.GaussianBlur(NOISE, (0, 0), 3)
    larger = cv2.resize(crop, (224, 224), interpolation=cv2.INTER_CUBIC)
    assert sharpness(larger) == pytest.approx(sharpness(crop), rel=0.15)


def test_brightness_and_mean_speed_have_known_values():
    assert brightness(np.zeros((8, 8), dtype=np.uint8)) == 0
    assert brightness(np.full((8, 8), 255, dtype=np.uint8)) == 1
    assert mean_speed(np.array([[3.0, 4.0], [0.0, 0.0]])) == 2.5
