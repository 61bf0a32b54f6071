"""Images are upright, with square pixels and a limited size."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from pipeline.extraction.video.images import MAX_PX, convert_frame, shown_size
from tests.extraction.drawn_videos import (
    ORIENTATIONS,
    draw_frames,
    to_coded,
    with_matrix,
    write_jpeg,
    write_video,
)


def first_frame(path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def convert(frame, **changes):
    arguments = {"pixel_aspect": 1.0, "small_px": None, "with_colour": False, **changes}
    return convert_frame(frame, **arguments)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.mp4", draw_frames(2))


@pytest.mark.parametrize("matrix", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_the_display_matrix_is_applied(tmp_path, matrix):
    (shown,) = draw_frames(1)
    coded = write_video(tmp_path / "a.mp4", [to_coded(shown, matrix)], options={"qp": "0"})
    path = with_matrix(coded, tmp_path / "b.mp4", matrix)
    images = convert(first_frame(path), small_px=80, with_colour=True)
    assert images.colour.shape == (96, 160, 3)
    assert images.grey.shape == (96, 160)
    assert images.small.shape == (48, 80, 3)
    expected = cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).astype(int)
    difference = cv2.cvtColor(images.colour, cv2.COLOR_RGB2GRAY) - expected
    assert np.abs(difference).mean() < 2
    assert np.corrcoef(images.grey.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (30, 0), (60, 1), (-135, 2), (-100, 3)])
def test_angles_are_rounded_to_a_quarter_turn(tmp_path, video, degrees, turns):
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = (cosine, -sine, sine, cosine)  # rotation to the left
    path = with_matrix(video, tmp_path / "b.mp4", matrix)
    upright = convert(first_frame(video)).grey
    np.testing.assert_array_equal(convert(first_frame(path)).grey, np.rot90(upright, turns))


def test_an_orientation_in_the_stream_is_applied(tmp_path, video):
    path = tmp_path / "b.mkv"
    edit = "h264_metadata=display_orientation=insert:flip=horizontal"
    with av.open(str(video)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        bitstream = av.BitStreamFilterContext(edit, source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            for edited in bitstream.filter(packet if packet.dts is not None else None):
                edited.stream = stream
                copy.mux(edited)
    upright = convert(first_frame(video)).grey
    np.testing.assert_array_equal(convert(first_frame(path)).grey, upright[:, ::-1])


def test_an_exif_orientation_is_applied(tmp_path):
    upright = draw_frames(1)[0][..., ::-1]
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        packet = av.Packet(write_jpeg(tmp_path / "a.jpg", upright, orientation=6).read_bytes())
        packet.pts, packet.dts, packet.time_base, packet.stream = 0, 0, Fraction(1, 30), stream
        container.mux(packet)
    grey = convert(first_frame(path)).grey
    expected = np.rot90(cv2.cvtColor(upright, cv2.COLOR_BGR2GRAY), -1)
    assert grey.shape == (160, 96)
    assert np.abs(grey - expected.astype(int)).mean() < 8


def test_grey_equals_the_coded_brightness(video):
    frame = first_frame(video)
    images = convert(frame)
    expected = frame.to_ndarray(format="yuv420p")[: frame.height]
    np.testing.assert_array_equal(images.grey, expected)
    # The decoder reuses its memory.
    assert not np.shares_memory(images.grey, np.frombuffer(frame.planes[0], np.uint8))
    assert images.small is images.colour is None


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le", "gbrp"])
def test_grey_of_other_pixel_formats_is_similar(tmp_path, video, pixel_format):
    path = write_video(
        tmp_path / "b.mkv",
        draw_frames(2),
        codec="libx264rgb" if pixel_format == "gbrp" else "libx264",
        pixel_format="rgb24" if pixel_format == "gbrp" else pixel_format,
    )
    grey, expected = convert(first_frame(path)).grey, convert(first_frame(video)).grey
    assert grey.mean() == pytest.approx(expected.mean(), abs=4)
    assert np.corrcoef(grey.ravel(), expected.ravel())[0, 1] > 0.9


def test_a_large_frame_is_shrunk(tmp_path):
    path = write_video(tmp_path / "a.mp4", draw_frames(1, width=3840, height=2160))
    images = convert(first_frame(path), small_px=240)
    assert images.grey.shape == (720, MAX_PX)
    assert images.small.shape == (135, 240, 3)


def test_non_square_pixels_are_stretched():
    assert shown_size(720, 576, 64 / 45, 1280) == (1024, 576)
    assert shown_size(1440, 1080, 4 / 3, 1280) == (1280, 720)
