"""Precomputed faces and flow are read, sorted by the numbers in their names."""

import cv2
import numpy as np
import pytest

from pipeline.extraction.faces.alignment import FACE_SHARE
from pipeline.extraction.precomputed import evenly_spaced, read_faces, read_flow
from pipeline.extraction.sources import IMAGE_SUFFIXES
from pipeline.extraction.tasks import ClipError
from tests.extraction.drawn_videos import ORIENTATIONS, to_coded, write_jpeg

FLOW = {"num_steps": 16, "num_pairs": 1, "crop_px": 64, "pair_seconds": 0.04}


def write_faces(folder, levels):
    for number, level in enumerate(levels, start=1):
        cv2.imwrite(str(folder / f"face_{number}.png"), np.full((60, 60, 3), level, np.uint8))
    return folder


def grey(folder, num_steps=16):
    faces = read_faces(folder, num_steps=num_steps, crop_px=48, with_colour=False)
    return faces.mean(axis=(1, 2)).round().tolist()


def test_faces_are_sorted_by_their_numbers(tmp_path):
    assert grey(write_faces(tmp_path, range(0, 120, 10))) == list(range(0, 120, 10))


def test_faces_are_evenly_spaced(tmp_path):
    levels = list(range(0, 200, 2))
    assert grey(write_faces(tmp_path, levels), num_steps=4) == [24, 74, 124, 174]


def test_faces_are_resized_and_converted_to_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((33, 71, 3), (255, 0, 0), np.uint8))  # blue
    faces = read_faces(tmp_path, num_steps=16, crop_px=8, with_colour=True)
    assert faces.shape == (1, 8, 8, 3)
    assert faces[0, 0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - {".pbm", ".pgm"}))  # grey formats
def test_images_of_every_suffix_are_read(tmp_path, suffix):
    encoded = cv2.imencode(".jpg" if suffix == ".jfif" else suffix, np.full((60, 60, 3), 90, "u1"))
    (tmp_path / f"a{suffix}").write_bytes(encoded[1].tobytes())
    assert grey(tmp_path) == pytest.approx([90], abs=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    shown = np.zeros((64, 64, 3), np.uint8)
    shown[:32, :32], shown[:32, 32:], shown[32:, :32] = 240, 160, 80
    coded = to_coded(shown, list(ORIENTATIONS.values())[orientation - 1])
    write_jpeg(tmp_path / "a.jpg", coded, orientation=orientation)
    for with_colour in (True, False):
        (face,) = read_faces(tmp_path, num_steps=1, crop_px=64, with_colour=with_colour)
        expected = shown if with_colour else shown[..., 0]
        assert np.abs(face.astype(int) - expected).mean() < 2


def test_other_and_hidden_files_are_ignored(tmp_path):
    write_faces(tmp_path, [10, 20])
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    assert grey(tmp_path) == [10, 20]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1.png", b"", "1.png is not a readable image"),
        ("1.png", b"no image", "1.png is not a readable image"),
        ("1.txt", b"", "contains no"),
    ],
)
def test_a_folder_without_a_readable_image_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=message):
        grey(tmp_path)


@pytest.mark.parametrize(
    "layout",
    [lambda field: field, lambda field: np.moveaxis(field, -1, 0), lambda field: field[np.newaxis]],
    ids=["(H, W, 2)", "(2, H, W)", "(F, H, W, 2)"],
)
def test_a_field_can_have_any_usual_layout(tmp_path, layout):
    field = np.zeros((32, 32, 2), dtype=np.float32)
    field[..., 0] = 1.5
    np.save(tmp_path / "flow_1.npy", layout(field))
    speeds = read_flow(tmp_path, **FLOW)
    assert speeds.shape == (1, 1, 64, 64, 2)
    np.testing.assert_allclose(speeds[..., 0], 1.5 / 32 / FACE_SHARE / 0.04, rtol=1e-4)
    np.testing.assert_allclose(speeds[..., 1], 0)


def test_fields_are_evenly_spaced_over_all_files(tmp_path):
    np.save(tmp_path / "a_2.npy", np.full((4, 8, 8, 2), 2.0))
    np.save(tmp_path / "a_10.npy", np.full((4, 8, 8, 2), 10.0))
    speeds = read_flow(tmp_path, **{**FLOW, "num_steps": 4})
    assert speeds.shape[0] == 4
    first, second, third, fourth = speeds.mean(axis=(1, 2, 3, 4))
    assert first == second < third == fourth


def test_a_step_with_several_pairs_has_successive_fields(tmp_path):
    for number in range(10):
        np.save(tmp_path / f"{number}.npy", np.full((8, 8, 2), float(number)))
    speeds = read_flow(tmp_path, **{**FLOW, "num_pairs": 3, "num_steps": 2})
    levels = speeds.mean(axis=(2, 3, 4)) * 8 * FACE_SHARE * 0.04
    np.testing.assert_allclose(levels, [[2, 3, 4], [6, 7, 8]], rtol=1e-4)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((8, 8)), r"shape \(8, 8\)"),
        (np.zeros((8, 8, 3)), r"shape \(8, 8, 3\)"),
        (np.array([["a"]]), "must contain flow fields"),
        (np.full((8, 8, 2), np.nan), "NaN or infinite"),
        (np.zeros((0, 8, 8, 2)), "must contain flow fields"),
        (np.full((8, 8, 2), 128, dtype=np.uint8), "of signed numbers, .* type uint8"),
    ],
)
def test_an_array_that_is_not_flow_is_an_error(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ClipError, match=words):
        read_flow(tmp_path, **FLOW)


@pytest.mark.parametrize(
    "write",
    [
        lambda file: np.save(file, np.array([{}], dtype=object), allow_pickle=True),
        lambda file: np.savez(file, np.zeros((8, 8, 2))),
    ],
    ids=["pickle", "archive"],
)
def test_a_pickle_or_an_archive_is_an_error(tmp_path, write):
    with (tmp_path / "a.npy").open("wb") as file:
        write(file)
    with pytest.raises(ClipError, match=r"a\.npy is not an array of numbers"):
        read_flow(tmp_path, **FLOW)


def test_too_few_fields_are_an_error(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 2)))
    with pytest.raises(ClipError, match="contains 1 flow fields, but 5 are needed"):
        read_flow(tmp_path, **{**FLOW, "num_pairs": 5})


def test_evenly_spaced_positions_are_the_centres_of_equal_parts():
    assert evenly_spaced(100, 4).tolist() == [12, 37, 62, 87]
    assert evenly_spaced(3, 4).tolist() == [0, 1, 2]
