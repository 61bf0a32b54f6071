import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.array_file import BOOLEANS, open_array


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "static.npy"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "uint16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_values_of_every_real_dtype_are_mapped(path, dtype, order):
    values = np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    np.save(path, values)
    opened = open_array(path)
    np.testing.assert_array_equal(opened, values)
    assert isinstance(opened.base, np.memmap)


def test_the_file_cannot_be_changed_through_the_map(path):
    np.save(path, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="read-only"):
        open_array(path)[0, 0] = 1


def test_an_array_without_values_can_be_opened(path):
    np.save(path, np.zeros((0, 3)))
    assert open_array(path).shape == (0, 3)


def test_a_missing_file_is_named(path):
    with pytest.raises(FeatureSetError, match=r"static\.npy: there is no such file"):
        open_array(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 an npz",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',",
        b"\x93NUMPY\x01\x00\x05\x00  {\n }",
        b"1,2\n3,4\n",
    ],
)
def test_another_kind_of_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(FeatureSetError, match=r"is not a \.npy file .*numpy\.save"):
        open_array(path)


def test_a_directory_is_refused(path):
    path.mkdir()
    with pytest.raises(FeatureSetError, match=r"is not a \.npy file"):
        open_array(path)


def test_a_file_cut_short_is_refused_with_both_sizes(path):
    np.save(path, np.zeros((10, 3), dtype=np.float32))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FeatureSetError, match=r"\(10, 3\) and 120 bytes of data, but 119 follow"):
        open_array(path)


def test_a_file_with_bytes_left_over_is_refused(path):
    np.save(path, np.zeros((10, 3), dtype=np.float32))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(FeatureSetError, match="120 bytes of data, but 121 follow"):
        open_array(path)


def write_header(path: Path, header: str, data: bytes) -> None:
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


@pytest.mark.parametrize(
    ("shape", "num_bytes"),
    [
        ("(-2, -3)", 24),
        ("(True, 2)", 8),
        ("(True,)", 4),
        (f"({2**63}, 0)", 0),
        (f"(0, {2**47}, {2**47})", 0),
        (f"({'1,' * 100})", 4),
    ],
)
def test_a_header_with_a_shape_that_no_array_can_have_is_refused(path, shape, num_bytes):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"
    write_header(path, header, bytes(num_bytes))
    with pytest.raises(FeatureSetError, match="which no array can have"):
        open_array(path)


@pytest.mark.parametrize(
    "header",
    [
        "{1: 2, 'a': 3}",
        "{[]: 1}",
        "-" * 9000 + "1",
        "[" * 9000,
        "{'descr': [('a', 5)], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ('a',)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ((1,),)}",
    ],
)
def test_a_header_that_is_no_header_is_refused_in_one_line(path, header):
    write_header(path, header, bytes(4))
    with pytest.raises(FeatureSetError, match=r"is not a \.npy file") as refused:
        open_array(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_an_object_array_is_refused_and_not_unpickled(path, tmp_path):
    touched = tmp_path / "touched"
    np.save(path, np.array([Payload(touched)], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureSetError, match="values of type object"):
        open_array(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    "values", [np.zeros(2, complex), np.array(["a"]), np.zeros(2, "M8[s]"), np.zeros(2, bool)]
)
def test_values_that_are_no_real_numbers_are_refused(path, values):
    np.save(path, values)
    with pytest.raises(FeatureSetError, match="expected float or integer numbers"):
        open_array(path)


def test_a_mask_of_numbers_is_refused(path):
    np.save(path, np.ones((2, 2), dtype=np.uint8))
    with pytest.raises(FeatureSetError, match="uint8, expected True and False"):
        open_array(path, kinds=BOOLEANS)
