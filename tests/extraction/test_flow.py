"""Optical flow is a speed in face widths per second."""

import numpy as np
import pytest

from pipeline.extraction.faces.alignment import FACE_SHARE, to_face_widths
from pipeline.extraction.observation import FlowEstimator


def textured(shift, size=112):
    y, x = np.mgrid[:size, :size].astype(float)
    x = x - shift
    wave = np.sin(x / 5) + np.sin(y / 7) + np.sin((x + y) / 11) + np.sin((x - 2 * y) / 9)
    return (128 + 25 * wave).astype(np.uint8)


@pytest.mark.parametrize("pixels", [-3.0, 0.5, 2.0])
def test_a_shift_is_measured_in_face_widths_per_second(pixels):
    speeds = FlowEstimator()([textured(0), textured(pixels)], np.array([1.0, 1.04]))
    middle = speeds[0, 30:-30, 30:-30].mean(axis=(0, 1))
    expected = pixels / (FACE_SHARE * 112) / 0.04
    np.testing.assert_allclose(middle, [expected, 0], atol=0.15)


def test_each_pair_of_a_window_has_a_field():
    crops = [textured(shift) for shift in (0, 1, 3, 3)]
    speeds = FlowEstimator()(crops, np.array([0, 0.1, 0.2, 0.3]))
    assert speeds.shape == (3, 112, 112, 2)
    assert speeds.dtype == np.float32
    across = speeds[:, 30:-30, 30:-30, 0].mean(axis=(1, 2))
    assert across[1] == pytest.approx(2 * across[0], rel=0.2)
    assert np.abs(speeds[2]).max() < 1e-3


def test_speed_does_not_depend_on_frame_rate_and_crop_size():
    slow = FlowEstimator()([textured(0), textured(2)], np.array([0.0, 1 / 15]))
    fast = FlowEstimator()([textured(0), textured(1)], np.array([0.0, 1 / 30]))
    inner = (0, slice(30, -30), slice(30, -30), 0)
    assert slow[inner].mean() == pytest.approx(fast[inner].mean(), rel=0.15)
    small = to_face_widths(np.full((112, 112, 2), 1.0), 30.0)
    large = to_face_widths(np.full((224, 224, 2), 2.0), 30.0)
    assert small.max() == pytest.approx(large.max())
