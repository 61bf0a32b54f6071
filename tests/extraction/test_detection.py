"""The detector finds all faces, and nothing else."""

import cv2
import numpy as np
import pytest

from pipeline.extraction.faces.detection import FaceDetector


@pytest.fixture(scope="module")
def detect():
    return FaceDetector(min_confidence=0.9)


@pytest.fixture(scope="module")
def images(face_frames):
    frames = face_frames[:18]
    return [cv2.resize(frame, (240, 135), interpolation=cv2.INTER_AREA) for frame in frames]


def test_landmarks_are_in_the_box_and_in_order(detect, images):
    (face,) = detect(images[:1])[0]
    left, top, width, height = face.box
    assert (face.landmarks >= [left, top]).all()
    assert (face.landmarks <= [left + width, top + height]).all()
    left_eye, right_eye, nose, mouth_left, mouth_right = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < min(mouth_left[1], mouth_right[1])
    assert 0.9 <= face.confidence <= 1
    assert (np.abs(face.landmarks * 240 % 1 - 0.5) < 0.49).any()  # not rounded to pixels


def test_two_people_are_two_faces(detect, images):
    pair = np.hstack([images[0][:, 60:200], images[9][:, 60:200]])
    assert len(detect([pair])[0]) == 2


def test_images_without_a_face_have_no_detection(detect, images):
    grey = np.full_like(images[0], 128)
    noise = np.random.default_rng(0).integers(0, 256, images[0].shape, dtype=np.uint8)
    assert [len(found) for found in detect([grey, images[0], noise])] == [0, 1, 0]
    assert detect([grey, grey]) == [[], []]
    assert detect([]) == []


def test_detections_do_not_depend_on_the_batch(detect, images):
    together = detect(images)
    assert [len(found) for found in together] == [1] * 18
    for number in range(2):
        (alone,) = detect([images[number]])[0]
        np.testing.assert_allclose(together[number][0].box, alone.box, atol=1e-4)
        np.testing.assert_allclose(together[number][0].landmarks, alone.landmarks, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 240, 3), (240, 4, 3), (1, 1, 3), (24, 240, 3)])
def test_a_narrow_image_has_no_face(detect, shape):
    assert detect([np.zeros(shape, dtype=np.uint8)]) == [[]]


def test_detections_with_low_confidence_are_omitted(images):
    assert FaceDetector(min_confidence=1.0)([images[0]]) == [[]]


def test_compiled_networks_give_identical_results(detect, images):
    from mtcnn import MTCNN

    rows = MTCNN(device="CPU:0").detect_faces(images[:4], box_format="xyxy", output_type="numpy")
    plain = rows[:, 6:16].reshape(-1, 2, 5).transpose(0, 2, 1).astype(np.float64) * (1 / 240)
    found = np.stack([faces[0].landmarks for faces in detect(images[:4])])
    np.testing.assert_array_equal(found, plain)
