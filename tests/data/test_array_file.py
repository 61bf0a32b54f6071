import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.core.traits import TRAITS
from pipeline.data.array_file import (
    BOOLEANS,
    NUMBERS,
    check_features,
    check_labels,
    finite_chunks,
    open_array,
)
from pipeline.data.stream import Stream, StreamPart

LABELS_PATH = Path("labels.npy")
CLIPS = pd.DataFrame({"clip_id": ["a", "b"]})


class Payload:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "static.npy"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "uint16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_real_numbers_are_mapped(path, dtype, order):
    values = np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    np.save(path, values)
    opened = open_array(path)
    np.testing.assert_array_equal(opened, values)
    assert isinstance(opened.base, np.memmap)
    assert not opened.flags.writeable


def test_an_empty_array_can_be_opened(path):
    np.save(path, np.zeros((0, 3)))
    assert open_array(path).shape == (0, 3)


def header(text: str, data: bytes = bytes(4)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def shape_header(shape: str, num_bytes: int) -> bytes:
    return header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}", bytes(num_bytes))


NO_NPY = r"is not a \.npy file .*numpy\.save"
IMPOSSIBLE = "impossible shape"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"static\.npy: there is no such file"),
        (b"", NO_NPY),
        (b"PK\x03\x04 an npz", NO_NPY),
        (b"\x93NUMPY\x01\x00", NO_NPY),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',", NO_NPY),
        (b"\x93NUMPY\x01\x00\x05\x00  {\n }", NO_NPY),
        (b"1,2\n3,4\n", NO_NPY),
        (header("{1: 2, 'a': 3}"), NO_NPY),
        (header("{[]: 1}"), NO_NPY),
        (header("-" * 9000 + "1"), NO_NPY),
        (header("[" * 9000), NO_NPY),
        (header("{'descr': [('a', 5)], 'fortran_order': False, 'shape': (1,)}"), NO_NPY),
        (shape_header("('a',)", 4), NO_NPY),
        (shape_header("((1,),)", 4), NO_NPY),
        (shape_header("(-2, -3)", 24), IMPOSSIBLE),
        (shape_header("(True, 2)", 8), IMPOSSIBLE),
        (shape_header("(True,)", 4), IMPOSSIBLE),
        (shape_header(f"({2**63}, 0)", 0), IMPOSSIBLE),
        (shape_header(f"(0, {2**47}, {2**47})", 0), IMPOSSIBLE),
        (shape_header(f"({'1,' * 100})", 4), IMPOSSIBLE),
        (shape_header("(10, 3)", 119), r"\(10, 3\) and 120 bytes of data, but 119 bytes follow"),
        (shape_header("(10, 3)", 121), "120 bytes of data, but 121 bytes follow"),
    ],
    ids=range(22),
)
def test_a_bad_file_is_a_one_line_error(path, content, message):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FeatureSetError, match=message) as error:
        open_array(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_an_object_array_is_an_error_and_not_unpickled(path, tmp_path):
    touched = tmp_path / "touched"
    np.save(path, np.array([Payload(touched)], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureSetError, match="values of type object"):
        open_array(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("dtype", "kinds", "message"),
    [
        *((dtype, NUMBERS, "float or integer numbers") for dtype in (complex, "U1", "M8[s]", bool)),
        (np.uint8, BOOLEANS, "True and False, but has values of type uint8"),
    ],
)
def test_values_of_another_type_are_an_error(path, dtype, kinds, message):
    np.save(path, np.zeros(2, dtype))
    with pytest.raises(FeatureSetError, match=f"must contain {message}"):
        open_array(path, kinds=kinds)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"must have shape \(clips, steps, features\)"),
        ((2,), r"must have shape \(clips, steps, features\)"),
        ((2, 3, 4, 5), r"must have shape \(clips, steps, features\)"),
        ((0, 3), "has no features"),
        ((2, 0), "has no features"),
        ((2, 0, 3), "has no features"),
    ],
)
def test_features_of_another_shape_are_an_error(shape, message):
    with pytest.raises(FeatureSetError, match=message):
        check_features(LABELS_PATH, np.zeros(shape))


def array_with(shape, position, value) -> np.ndarray:
    values = np.zeros(shape)
    values[position] = value
    return values


def labels_with(value: float) -> np.ndarray:
    return array_with((2, 5), (1, 2), value)


PLACE = r"row 1 \(clip b\) has extraversion {}, but a score must be in \[0, 1\]\. .*"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 4)), r"must have shape \(2, 5\) .*openness, .*, neuroticism"),
        (np.zeros(2), r"must have shape \(2, 5\)"),
        (np.zeros((2, 5, 1)), r"must have shape \(2, 5\)"),
        (np.zeros((2, 6)), "Drop the `interview` column"),
        (labels_with(np.nan), PLACE.format("nan") + "Drop the clips without a score"),
        (labels_with(-0.25), PLACE.format("-0.25") + "Map the scores"),
        (labels_with(1.25), PLACE.format("1.25") + "Map the scores"),
        (labels_with(4.0), PLACE.format("4.0") + "look like 0-5: divide by 5"),
        (labels_with(6.5), PLACE.format("6.5") + "look like 0-7: divide by 7"),
        (labels_with(65.0), PLACE.format("65.0") + "look like 0-100: divide by 100"),
        (np.tile(np.linspace(1, 5, 5), (2, 1)), "1-5: subtract 1, then divide by 4"),
        (np.tile(np.linspace(1, 7, 5), (2, 1)), "1-7: subtract 1, then divide by 6"),
    ],
    ids=range(12),
)
def test_bad_labels_are_an_error_with_place_and_fix(labels, message):
    with pytest.raises(FeatureSetError, match=message):
        check_labels(LABELS_PATH, labels, CLIPS, TRAITS)


IN_B = "part-1.npy: row 0 (clip b) has "
PADDED = np.array([[True, False], [True, True]])


@pytest.mark.parametrize(
    ("values", "mask", "start", "end"),
    [
        (array_with((2, 3, 4), (1, 2, 3), np.nan), None, IN_B + "nan in step 2, column 3,", ""),
        (array_with((2, 3, 4), (1, 2, 3), -np.inf), None, IN_B + "-inf in step 2,", ""),
        (array_with((2, 2), (1, 1), np.nan), None, IN_B + "nan in column 1,", ""),
        (array_with((2, 2), (1, 1), 1e300), None, IN_B + "1e+300 in column 1,", ""),
        (array_with((2, 2, 1), (0, 1, 0), np.nan), PADDED, "", "pad with zeros."),
        (array_with((2, 2, 1), (0, 0, 0), np.nan), PADDED, "", "drop it from every file."),
        (array_with((2, 3, 5, 5, 3), (1, 2, 0, 4, 1), np.nan), None, IN_B + "nan in step 2,", ""),
    ],
    ids=range(7),
)
def test_a_value_that_is_not_finite_is_an_error_with_place_and_fix(values, mask, start, end):
    masks = [None] * len(values) if mask is None else mask[:, None]
    parts = tuple(
        StreamPart(path=Path(f"part-{row}.npy"), values=values[[row]], mask=part_mask)
        for row, part_mask in enumerate(masks)
    )
    with pytest.raises(FeatureSetError, match="must be finite in float32") as error:
        list(finite_chunks(Stream(name="static", parts=parts), CLIPS))
    assert str(error.value).startswith(start)
    assert str(error.value).endswith(end)


def test_a_directory_is_no_array(tmp_path):
    with pytest.raises(FeatureSetError, match=r"is a directory, .*--features_dir"):
        open_array(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".TSV", ".txt", ".parquet", ".xlsx"])
def test_a_table_is_no_array(tmp_path, suffix):
    path = tmp_path / f"features{suffix}"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(FeatureSetError, match=r"is a table, .*prepare --stream NAME=PATH"):
        open_array(path)


def test_a_missing_table_is_missing(tmp_path):
    with pytest.raises(FeatureSetError, match="there is no such file"):
        open_array(tmp_path / "features.csv")
