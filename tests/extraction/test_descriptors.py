"""HOG and rectified flow distinguish edges and motions by direction and place."""

import numpy as np
import pytest

from pipeline.extraction.encoders.descriptors import HogEncoder, RectifiedFlowEncoder


def stripes(*, across, size=112):
    y, x = np.mgrid[:size, :size]
    return (128 + 100 * np.sin((x if across else y) / 4)).astype(np.uint8)


@pytest.mark.parametrize("crop_px", [96, 112, 224])
def test_hog_of_a_uniform_crop_is_zero_for_every_crop_size(crop_px):
    encoder = HogEncoder(crop_px=crop_px)
    features = encoder(np.zeros((3, crop_px, crop_px), dtype=np.uint8))
    assert features.shape == (3, encoder.width) == (3, 512)
    assert features.dtype == np.float32
    assert features.max() == 0


def test_hog_distinguishes_edge_directions():
    crops = np.stack([stripes(across=True), stripes(across=False)])
    upright, lying = HogEncoder(crop_px=112)(crops)
    assert upright @ lying < 0.3 * (upright @ upright)


def test_hog_ignores_brightness_and_contrast():
    crop = stripes(across=True)
    dim = (crop // 2 + 30).astype(np.uint8)
    bright, dark = HogEncoder(crop_px=112)(np.stack([crop, dim]))
    np.testing.assert_allclose(bright, dark, atol=0.08)


def test_hog_localises_edges():
    crop = np.zeros((112, 112), dtype=np.uint8)
    crop[:28, :28] = stripes(across=True)[:28, :28]
    features = HogEncoder(crop_px=112)(crop[np.newaxis])[0].reshape(4, 4, 4, 8)
    energy = features.sum(axis=(2, 3))
    assert energy.argmax() == 0
    assert energy[2:].max() == energy[:, 2:].max() == 0


@pytest.mark.parametrize(
    ("channel", "speed"), [(0, (2.0, 0)), (1, (0, 2.0)), (2, (-2.0, 0)), (3, (0, -2.0))]
)
def test_each_direction_of_flow_has_its_channel(channel, speed):
    field = np.broadcast_to(np.float32(speed), (1, 1, 112, 112, 2))
    features = RectifiedFlowEncoder()(field)
    assert features.shape == (1, RectifiedFlowEncoder().width) == (1, 256)
    grid = features.reshape(8, 8, 4)
    np.testing.assert_allclose(grid[..., channel], 2.0, rtol=1e-5)
    np.testing.assert_allclose(np.delete(grid, channel, axis=-1), 0.0)


def test_opposite_motions_in_a_cell_do_not_cancel_out():
    field = np.zeros((1, 1, 112, 112, 2), dtype=np.float32)
    field[..., ::2, :, 1] = 1.0
    field[..., 1::2, :, 1] = -1.0
    grid = RectifiedFlowEncoder()(field).reshape(8, 8, 4)
    np.testing.assert_allclose(grid[..., 1], 0.5, rtol=1e-5)
    np.testing.assert_allclose(grid[..., 3], 0.5, rtol=1e-5)


def test_motion_is_localised():
    field = np.zeros((1, 1, 112, 112, 2), dtype=np.float32)
    field[0, 0, 14:28, 98:112, 0] = 1.0
    grid = RectifiedFlowEncoder()(field).reshape(8, 8, 4)
    assert np.argwhere(grid > 0.5).tolist() == [[1, 7, 0]]


def test_the_fields_of_a_step_are_averaged():
    fields = np.zeros((2, 3, 112, 112, 2), dtype=np.float32)
    fields[1, 0, ..., 0] = 3.0
    still, moving = RectifiedFlowEncoder()(fields)
    assert still.max() == 0
    assert moving.max() == pytest.approx(1.0)
