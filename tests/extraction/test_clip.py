"""One clip becomes two streams with masks, and numbers on its quality."""

import numpy as np
import pytest

from pipeline.config.extraction import ExtractionConfig, StaticConfig
from pipeline.extraction.clip import ClipExtractor
from pipeline.extraction.failures import ClipError
from pipeline.extraction.sources import ClipSource
from tests.extraction.drawn_videos import ORIENTATIONS, to_coded, with_matrix, write_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def extract():
    return ClipExtractor(ExtractionConfig())


@pytest.fixture(scope="module")
def real(extract, clips):
    return extract(ClipSource(clip_id="a.mp4", video=clips[0]), with_strip=True)


def test_a_clip_has_sixteen_steps_of_both_streams(real):
    assert real.static.shape == (16, 512)
    assert real.dynamic.shape == (16, 256)
    assert real.static.dtype == real.dynamic.dtype == np.float32
    assert real.static_mask.all()
    assert real.dynamic_mask.all()


def test_steps_of_one_face_are_alike_and_not_equal(real, extract, clips):
    other = extract(ClipSource(clip_id="b.mp4", video=clips[1]))
    within = np.linalg.norm(real.static - real.static.mean(0), axis=1).mean()
    between = np.linalg.norm(real.static.mean(0) - other.static.mean(0))
    assert 0 < within < 1.5 * between


def test_quality_says_how_good_the_picture_is(real):
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


def test_times_and_boxes_stand_beside_the_steps(real):
    assert (np.diff(real.seconds) > 0.5).all()
    assert ((real.boxes >= 0) & (real.boxes <= 1)).all()


def test_steps_without_the_face_are_masked_and_zero(extract, tmp_path, face_frames):
    blank = [np.full_like(face_frames[0], 90)] * 24
    path = write_video(tmp_path / "a.mp4", face_frames[:24] + blank)
    clip = extract(ClipSource(clip_id="a.mp4", video=path))
    assert clip.static_mask.tolist() == clip.dynamic_mask.tolist() == [True] * 8 + [False] * 8
    assert not clip.static[8:].any()
    assert not clip.dynamic[8:].any()
    assert clip.static[:8].any(axis=1).all()
    assert np.isnan(clip.seconds[8:]).all()


@pytest.fixture(scope="module")
def upright(extract, tmp_path_factory, face_frames):
    path = tmp_path_factory.mktemp("upright") / "a.mp4"
    write_video(path, face_frames, options={"qp": "0"})
    return extract(ClipSource(clip_id="a.mp4", video=path))


@pytest.mark.parametrize("matrix", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_features_do_not_depend_on_how_the_frames_were_coded(
    extract, tmp_path, face_frames, upright, matrix
):
    frames = [to_coded(frame, matrix) for frame in face_frames]
    coded = write_video(tmp_path / "coded.mp4", frames, options={"qp": "0"})
    path = with_matrix(coded, tmp_path / "a.mp4", matrix)
    clip = extract(ClipSource(clip_id="a.mp4", video=path))
    for name in ("static", "dynamic"):
        found, expected = getattr(clip, name), getattr(upright, name)
        cosine = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
        assert cosine > 0.99
    np.testing.assert_allclose(clip.boxes, upright.boxes, atol=0.01)


def test_a_clip_with_few_frames_is_padded(extract, tmp_path, face_frames):
    path = write_video(tmp_path / "a.mp4", face_frames[:5])
    clip = extract(ClipSource(clip_id="a.mp4", video=path))
    assert clip.static_mask.tolist() == [True] * 5 + [False] * 11


def test_a_clip_of_one_frame_has_no_motion_to_describe(extract, tmp_path, face_frames):
    path = write_video(tmp_path / "a.mp4", face_frames[:1])
    with pytest.raises(ClipError, match="too few frames to measure motion"):
        extract(ClipSource(clip_id="a.mp4", video=path))


def test_steps_whose_frames_are_far_apart_have_a_face_and_no_motion(extract, tmp_path, face_frames):
    ticks = [33 * number + 2500 * (number >= 24) for number in range(48)]
    path = write_video(tmp_path / "a.mkv", face_frames, ticks=ticks)
    clip = extract(ClipSource(clip_id="a.mkv", video=path))
    assert clip.static_mask.all()
    assert 0 < (~clip.dynamic_mask).sum() < 16
    assert not clip.dynamic[~clip.dynamic_mask].any()


def test_a_clip_of_one_frame_a_second_fails_with_the_reason(extract, tmp_path, face_frames):
    path = write_video(tmp_path / "a.mp4", face_frames[:20], rate=1)
    with pytest.raises(ClipError, match=r"1\.00 s apart.*at most 0\.25 s") as refusal:
        extract(ClipSource(clip_id="a.mp4", video=path))
    assert refusal.value.stage == "decode"


def test_narrower_vectors_can_be_asked_for(clips):
    extract = ClipExtractor(ExtractionConfig(static=StaticConfig(dim=64)))
    assert extract(ClipSource(clip_id="a", video=clips[0])).static.shape == (16, 64)


def test_a_strip_is_drawn_only_when_it_is_asked_for(real, extract, tmp_path, face_frames):
    path = write_video(tmp_path / "a.mp4", face_frames[:5])
    assert extract(ClipSource(clip_id="a.mp4", video=path)).strip is None
    assert real.strip is not None


@pytest.fixture
def given(tmp_path):
    import cv2

    faces, flow = tmp_path / "faces", tmp_path / "flow"
    faces.mkdir()
    flow.mkdir()
    for number in range(20):
        image = np.random.default_rng(number).integers(0, 256, (50, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(faces / f"face_{number}.png"), image)
        np.save(flow / f"flow_{number}.npy", np.full((30, 30, 2), number, dtype=np.float32))
    return ClipSource(clip_id="a", face_dir=faces, flow_dir=flow)


def test_given_faces_and_flow_need_no_video(given):
    extract = ClipExtractor(ExtractionConfig(), has_videos=False, has_faces=True, has_flow=True)
    clip = extract(given)
    assert clip.static.shape == (16, 512)
    assert clip.dynamic.shape == (16, 256)
    assert clip.static_mask.all()
    assert clip.dynamic[-1].max() > clip.dynamic[0].max()
    assert clip.quality.keys() == {"motion"}


def test_given_faces_stand_in_for_those_of_a_video_whose_motion_is_measured(given, clips, real):
    source = ClipSource(clip_id="a", video=clips[0], face_dir=given.face_dir)
    clip = ClipExtractor(ExtractionConfig(), has_faces=True)(source)
    np.testing.assert_array_equal(clip.dynamic, real.dynamic)
    assert not np.allclose(clip.static, real.static)
