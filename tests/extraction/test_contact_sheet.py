"""The contact sheet shows frames with boxes, crops and flow for each step."""

import numpy as np
import pytest

from pipeline.extraction.contact_sheet import draw_strip, flow_colours

GREEN = (80, 220, 60)


@pytest.fixture(scope="module")
def observed(observe, half):
    return observe(half)


def test_a_strip_has_a_column_with_a_box_for_each_step_with_a_face(observed):
    strip = draw_strip("a.mp4", observed)
    assert strip.dtype == np.uint8
    assert strip.shape[1] == 8 * 160
    is_green = (np.abs(strip.astype(int) - GREEN) < 30).all(axis=-1)
    assert is_green[:, :160].sum() > 50
    assert not is_green[150:].any()


def test_any_name_can_be_a_title(observed):
    assert draw_strip("顔 ../x\n.mp4", observed).shape == draw_strip("a.mp4", observed).shape


def test_directions_have_colours_and_no_motion_is_white():
    speeds = np.zeros((4, 4, 2), dtype=np.float32)
    speeds[0, 0], speeds[0, 1] = (9, 0), (-9, 0)
    colours = flow_colours(speeds)
    assert colours[3, 3].tolist() == [255, 255, 255]
    assert colours[0, 0].tolist() == [0, 0, 255]  # right is red, in BGR
    assert colours[0, 1].tolist() == [255, 255, 0]  # left is cyan
