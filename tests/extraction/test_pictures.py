"""Pictures are upright, have square pixels and a bounded size."""

import struct

import av
import cv2
import numpy as np
import pytest

from pipeline.extraction.pictures import MAX_PX, shown_size, take_pictures
from tests.extraction.drawn_videos import draw_frames, write_video

TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def take(frame, **changes):
    arguments = {"pixel_aspect": 1.0, "small_px": None, "with_colour": False, **changes}
    return take_pictures(frame, **arguments)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.mp4", draw_frames(2))


def turned(video, degrees):
    """The same file with another display matrix in its track header."""
    content = bytearray(video.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in TURNS[degrees])
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path = video.with_name(f"turned{degrees}.mp4")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("degrees", sorted(TURNS))
def test_a_turned_video_is_put_upright_as_a_player_does(video, degrees):
    path = turned(video, degrees)
    upright = cv2.VideoCapture(str(path)).read()[1]  # turns by itself
    pictures = take(first_frame(path), small_px=320, with_colour=True)
    assert pictures.colour.shape == upright.shape
    difference = pictures.colour[..., ::-1].astype(int) - upright
    assert np.abs(difference).mean() < 4
    assert pictures.grey.shape == pictures.small.shape[:2] == upright.shape[:2]


def test_brightness_is_the_plane_that_was_coded(video):
    frame = first_frame(video)
    expected = frame.to_ndarray(format="yuv420p")[: frame.height]
    np.testing.assert_array_equal(take(frame).grey, expected)


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le", "gbrp"])
def test_brightness_of_other_formats_is_nearly_that(tmp_path, video, pixel_format):
    path = write_video(
        tmp_path / "b.mkv",
        draw_frames(2),
        codec="libx264rgb" if pixel_format == "gbrp" else "libx264",
        pixel_format="rgb24" if pixel_format == "gbrp" else pixel_format,
    )
    grey, expected = take(first_frame(path)).grey, take(first_frame(video)).grey
    assert grey.mean() == pytest.approx(expected.mean(), abs=4)
    assert np.corrcoef(grey.ravel(), expected.ravel())[0, 1] > 0.9


def test_a_picture_does_not_share_the_memory_of_the_decoder(video):
    frame = first_frame(video)
    grey = take(frame).grey
    assert not np.shares_memory(grey, np.frombuffer(frame.planes[0], np.uint8))


def test_a_large_frame_is_shrunk(tmp_path):
    path = write_video(tmp_path / "a.mp4", draw_frames(1, width=3840, height=2160))
    pictures = take(first_frame(path), small_px=240)
    assert pictures.grey.shape == (720, MAX_PX)
    assert pictures.small.shape == (135, 240, 3)


def test_pixels_that_are_not_square_are_stretched():
    assert shown_size(720, 576, 64 / 45, 1280) == (1024, 576)
    assert shown_size(1440, 1080, 4 / 3, 1280) == (1280, 720)


def test_nothing_more_is_made_than_is_wanted(video):
    pictures = take(first_frame(video))
    assert pictures.small is None
    assert pictures.colour is None
