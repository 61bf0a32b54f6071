"""Eyes and mouth are at the same place in every crop."""

import cv2
import numpy as np
import pytest

from pipeline.extraction.faces.alignment import crop_transform, cut

FACE = np.array([[34.0, 40], [66, 40], [50, 58], [38, 73], [62, 73]])
"""Landmarks of a frontal face in a crop of 100 pixels."""


def moved(points, *, degrees=0.0, scale=1.0, shift=(0.0, 0.0)):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + np.asarray(shift)


def apply(transform, points):
    return points @ transform[:, :2].T + transform[:, 2]


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 4.5, (200, 90)), (-170, 0.3, (5, -40))]
)
def test_the_transform_undoes_rotation_scale_and_shift(degrees, scale, shift):
    landmarks = moved(FACE, degrees=degrees, scale=scale, shift=shift)
    placed = apply(crop_transform(landmarks, 112), landmarks)
    np.testing.assert_allclose(placed, FACE * 1.12, atol=1e-9)


def test_the_transform_has_the_least_squared_error():
    landmarks = FACE + np.array([[0, 3], [2, -1], [0, 0], [-2, 4], [1, 1]])
    best = crop_transform(landmarks, 100)
    used = [0, 1, 3, 4]

    def error(transform):
        return ((apply(transform, landmarks[used]) - FACE[used]) ** 2).sum()

    for a, b, x, y in np.random.default_rng(0).normal(0, 1e-3, (20, 4)):
        assert error(best + np.array([[a, -b, x], [b, a, y]])) > error(best)


@pytest.mark.parametrize("scale", [0.8, 2.0, 5.0, 9.0])
def test_landmarks_are_at_their_place_in_crops_of_faces_of_any_size(scale):
    size = int(140 * scale)
    image = np.zeros((size, size), dtype=np.uint8)
    landmarks = moved(FACE, scale=scale, shift=(20 * scale, 15 * scale))
    for point in landmarks:
        cv2.circle(image, tuple(point.round().astype(int)), int(4 * scale), 255, -1)
    crop = cut(image, crop_transform(landmarks, 112), 112)
    rows, columns = np.mgrid[-8:9, -8:9]
    for x, y in FACE * 1.12:
        spot = crop[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9].astype(float)
        offset = np.array([(spot * columns).sum(), (spot * rows).sum()]) / spot.sum()
        np.testing.assert_allclose(offset, [x - int(x), y - int(y)], atol=0.6)


def test_a_large_face_is_averaged_and_not_subsampled():
    image = np.zeros((900, 900), dtype=np.uint8)
    image[:, ::2] = 200  # stripes of one pixel with mean 100
    crop = cut(image, crop_transform(moved(FACE, scale=8), 112), 112)
    assert np.abs(crop[10:-10, 10:-10].astype(int) - 100).max() < 30


def test_a_crop_is_black_outside_the_image():
    image = np.full((300, 300, 3), 200, dtype=np.uint8)
    crop = cut(image, crop_transform(moved(FACE, scale=3, shift=(-150, 0)), 112), 112)
    assert crop.shape == (112, 112, 3)
    assert crop[50, 5].tolist() == [0, 0, 0]
    assert crop[50, 100].tolist() == [200, 200, 200]
    outside = crop_transform(moved(FACE, scale=9, shift=(5000, 5000)), 112)
    assert cut(image, outside, 112).max() == 0
