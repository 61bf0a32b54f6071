"""The contact sheet shows frames with boxes, crops and flow, step by step."""

import numpy as np
import pytest

from pipeline.extraction.contact_sheet import draw_strip, flow_colours, stack_strips
from tests.extraction.drawn_videos import write_video

GREEN = (80, 220, 60)


@pytest.fixture(scope="module")
def seen(observe, tmp_path_factory, face_frames):
    blank = [np.full_like(face_frames[0], 90)] * 24
    path = write_video(tmp_path_factory.mktemp("v") / "a.mp4", face_frames[:24] + blank)
    return observe(path)


def test_a_column_is_drawn_for_each_step_with_the_face(seen):
    strip = draw_strip("a.mp4", seen)
    assert strip.dtype == np.uint8
    assert strip.shape[1] == 8 * 160


def test_the_face_has_a_box(seen):
    strip = draw_strip("a.mp4", seen)
    is_green = (np.abs(strip.astype(int) - GREEN) < 30).all(axis=-1)
    assert is_green[:, :160].sum() > 50
    assert not is_green[150:].any()


def test_any_name_can_be_a_title(seen):
    assert draw_strip("顔 ../x\n.mp4", seen).shape == draw_strip("a.mp4", seen).shape


def test_strips_of_different_widths_stand_below_each_other():
    sheet = stack_strips([np.zeros((5, 8, 3), np.uint8), np.zeros((7, 4, 3), np.uint8)])
    assert sheet.shape == (5 + 7 + 2 * 4, 8, 3)
    assert sheet[-6, 6].tolist() == [255] * 3


def test_what_stands_still_is_white_and_directions_have_colours():
    speed = np.zeros((4, 4, 2), dtype=np.float32)
    speed[0, 0], speed[0, 1] = (9, 0), (-9, 0)
    colours = flow_colours(speed)
    assert colours[3, 3].tolist() == [255, 255, 255]
    assert colours[0, 0].tolist() == [0, 0, 255]  # right is red, in BGR
    assert colours[0, 1].tolist() == [255, 255, 0]  # left is its complement
