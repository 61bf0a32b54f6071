"""Eyes and mouth come to the same place in every crop."""

import cv2
import numpy as np
import pytest

from pipeline.extraction.faces.alignment import FACE_SHARE, crop_transform, cut

FACE = np.array([[34.0, 40], [66, 40], [50, 58], [38, 73], [62, 73]])
"""A frontal face as a crop of 100 pixels has it."""


def moved(points, *, degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + np.asarray(shift)


def apply(transform, points):
    return points @ transform[:, :2].T + transform[:, 2]


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 4.5, (200, 90)), (-170, 0.3, (5, -40))]
)
def test_a_face_comes_to_its_place_however_it_stood(degrees, scale, shift):
    landmarks = moved(FACE, degrees=degrees, scale=scale, shift=shift)
    placed = apply(crop_transform(landmarks, 112), landmarks)
    np.testing.assert_allclose(placed, FACE * 1.12, atol=1e-9)


def test_the_transform_is_the_best_similarity_for_a_face_of_other_proportions():
    landmarks = FACE + np.array([[0, 3], [2, -1], [0, 0], [-2, 4], [1, 1]])
    best = crop_transform(landmarks, 100)
    used = [0, 1, 3, 4]

    def error(transform):
        return ((apply(transform, landmarks[used]) - FACE[used]) ** 2).sum()

    for change in np.random.default_rng(0).normal(0, 1e-3, (20, 4)):
        a, b, x, y = change
        other = best + np.array([[a, -b, x], [b, a, y]])
        assert error(other) > error(best)


def test_a_face_is_as_wide_as_speeds_take_it_to_be():
    eyes = FACE[1, 0] - FACE[0, 0]
    assert pytest.approx(2.2 * eyes / 100, abs=0.01) == FACE_SHARE


@pytest.mark.parametrize("scale", [0.8, 2.0, 5.0, 9.0])
def test_a_crop_shows_the_face_at_its_place_at_any_size(scale):
    size = int(140 * scale)
    picture = np.zeros((size, size), dtype=np.uint8)
    landmarks = moved(FACE, scale=scale, shift=(20 * scale, 15 * scale))
    for point in landmarks:
        cv2.circle(picture, tuple(point.round().astype(int)), int(4 * scale), 255, -1)
    crop = cut(picture, crop_transform(landmarks, 112), 112)
    for x, y in FACE * 1.12:
        spot = crop[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9].astype(float)
        rows, columns = np.mgrid[-8:9, -8:9]
        offset = np.array([(spot * columns).sum(), (spot * rows).sum()]) / spot.sum()
        expected = np.array([x - int(x), y - int(y)])
        np.testing.assert_allclose(offset, expected, atol=0.6)


def test_a_fine_pattern_is_averaged_and_not_picked_from():
    picture = np.zeros((900, 900), dtype=np.uint8)
    picture[:, ::2] = 200  # stripes of one pixel: the mean is 100
    landmarks = moved(FACE, scale=8)
    crop = cut(picture, crop_transform(landmarks, 112), 112)
    assert np.abs(crop[10:-10, 10:-10].astype(int) - 100).max() < 30


def test_what_lies_outside_of_the_picture_is_black():
    picture = np.full((300, 300, 3), 200, dtype=np.uint8)
    crop = cut(picture, crop_transform(moved(FACE, scale=3, shift=(-150, 0)), 112), 112)
    assert crop.shape == (112, 112, 3)
    assert crop[50, 5].tolist() == [0, 0, 0]
    assert crop[50, 100].tolist() == [200, 200, 200]


def test_a_face_wholly_outside_gives_a_black_crop():
    picture = np.full((50, 50), 200, dtype=np.uint8)
    crop = cut(picture, crop_transform(moved(FACE, scale=9, shift=(5000, 5000)), 112), 112)
    assert crop.max() == 0
