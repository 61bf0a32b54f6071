"""The detector finds the faces there are, and none where there are none."""

import numpy as np
import pytest

from pipeline.extraction.faces.detection import FaceDetector

SMALL = (240, 135)


@pytest.fixture(scope="module")
def detect():
    return FaceDetector(min_confidence=0.9)


@pytest.fixture(scope="module")
def pictures(face_frames):
    import cv2

    return [cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA) for frame in face_frames[:18]]


def test_one_face_is_found_in_each_picture_of_one_person(detect, pictures):
    assert [len(found) for found in detect(pictures)] == [1] * 18


def test_a_face_has_its_eyes_above_its_mouth_within_its_box(detect, pictures):
    (face,) = detect(pictures[:1])[0]
    left, top, width, height = face.box
    assert (face.landmarks >= [left, top]).all()
    assert (face.landmarks <= [left + width, top + height]).all()
    left_eye, right_eye, nose, mouth_left, mouth_right = face.landmarks
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1] < min(mouth_left[1], mouth_right[1])
    assert 0.9 <= face.confidence <= 1


def test_landmarks_are_finer_than_pixels(detect, pictures):
    (face,) = detect(pictures[:1])[0]
    assert (np.abs(face.landmarks * 240 % 1 - 0.5) < 0.49).any()


def test_two_people_are_two_faces(detect, pictures):
    pair = np.hstack([pictures[0][:, 60:200], pictures[9][:, 60:200, ::1]])
    assert len(detect([pair])[0]) == 2


def test_pictures_without_a_face_have_none_among_others_that_have_one(detect, pictures):
    grey = np.full_like(pictures[0], 128)
    noise = np.random.default_rng(0).integers(0, 256, pictures[0].shape, dtype=np.uint8)
    assert [len(found) for found in detect([grey, pictures[0], noise])] == [0, 1, 0]
    assert detect([grey, grey]) == [[], []]


def test_the_number_of_pictures_at_a_time_does_not_matter(detect, pictures):
    together = detect(pictures)
    alone = [detect([picture])[0] for picture in pictures[:2]]
    for one, other in zip(together, alone, strict=False):
        np.testing.assert_allclose(one[0].box, other[0].box, atol=1e-4)
        np.testing.assert_allclose(one[0].landmarks, other[0].landmarks, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 240, 3), (240, 4, 3), (1, 1, 3), (24, 240, 3)])
def test_a_strip_holds_no_face(detect, shape):
    assert detect([np.zeros(shape, dtype=np.uint8)]) == [[]]


def test_without_pictures_there_is_nothing_to_find(detect):
    assert detect([]) == []


def test_less_sure_detections_are_left_out(pictures):
    assert FaceDetector(min_confidence=1.0)([pictures[0]]) == [[]]


def test_networks_in_a_graph_give_the_same_bits(detect, pictures):
    from mtcnn import MTCNN

    rows = MTCNN(device="CPU:0").detect_faces(pictures[:4], box_format="xyxy", output_type="numpy")
    plain = rows[:, 6:16].reshape(-1, 2, 5).transpose(0, 2, 1).astype(np.float64) * (1 / 240)
    found = np.stack([faces[0].landmarks for faces in detect(pictures[:4])])
    np.testing.assert_array_equal(found, plain)
