"""Measures rank pictures as a person would."""

import cv2
import numpy as np
import pytest

from pipeline.extraction.quality import brightness, mean_speed, sharpness

NOISE = np.random.default_rng(0).integers(0, 256, (112, 112), dtype=np.uint8)


def test_a_blurred_crop_is_less_sharp():
    assert sharpness(cv2.GaussianBlur(NOISE, (0, 0), 2)) < 0.1 * sharpness(NOISE)


def test_a_flat_crop_is_not_sharp():
    assert sharpness(np.full((112, 112), 77, dtype=np.uint8)) == 0


def test_sharpness_hardly_depends_on_the_size_of_the_crop():
    crop = cv2.GaussianBlur(NOISE, (0, 0), 3)
    larger = cv2.resize(crop, (224, 224), interpolation=cv2.INTER_CUBIC)
    assert sharpness(larger) == pytest.approx(sharpness(crop), rel=0.15)


def test_brightness_runs_from_black_to_white():
    assert brightness(np.zeros((8, 8), dtype=np.uint8)) == 0
    assert brightness(np.full((8, 8), 255, dtype=np.uint8)) == 1


def test_mean_speed_is_that_of_points():
    assert mean_speed(np.array([[3.0, 4.0], [0.0, 0.0]])) == 2.5
