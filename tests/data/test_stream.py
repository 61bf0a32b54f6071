from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.stream import Stream, StreamPart


def stream_of(values, mask=None, lengths=None) -> Stream:
    """A stream that holds `values` in parts of the given lengths."""
    ends = np.cumsum(lengths or [len(values)])[:-1]
    masks = [None] * (len(ends) + 1) if mask is None else np.split(mask, ends)
    parts = [
        StreamPart(path=Path(f"{number}.npy"), values=part, mask=part_mask)
        for number, (part, part_mask) in enumerate(zip(np.split(values, ends), masks, strict=True))
    ]
    return Stream(name="static", parts=tuple(parts))


VALUES = np.arange(24, dtype=np.float64).reshape(6, 2, 2)
MASK = np.array([[True, False]] * 3 + [[True, True]] * 3)


def test_a_sequence_stream_knows_its_shape():
    stream = stream_of(VALUES, lengths=[1, 2, 3])
    assert (stream.shape, stream.num_steps, stream.width) == ((6, 2, 2), 2, 2)


def test_a_vector_stream_has_no_steps():
    stream = stream_of(VALUES[:, 0])
    assert (stream.shape, stream.num_steps, stream.width) == ((6, 2), None, 2)


@given(rows=st.lists(st.integers(0, 5), max_size=9), cut=st.integers(1, 5))
def test_rows_are_read_in_any_order_over_any_parts(rows, cut):
    stream = stream_of(VALUES, MASK, lengths=[cut, 6 - cut])
    np.testing.assert_array_equal(stream.read(np.array(rows)), VALUES[np.array(rows, dtype=int)])
    np.testing.assert_array_equal(stream.read_mask(np.array(rows)), MASK[np.array(rows, dtype=int)])


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "int16"])
def test_every_dtype_is_read_as_native_float32(dtype):
    read = stream_of(VALUES.astype(dtype)).read(np.array([5, 0]))
    assert read.dtype == np.float32
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, VALUES[[5, 0]])


def test_what_is_read_is_a_copy():
    values = np.zeros((2, 2), dtype=np.float32)
    stream_of(values).read(np.array([0]))[:] = 1
    assert values.sum() == 0


@pytest.mark.parametrize("rows", [[-1], [6], [0.0], [True]])
def test_rows_that_are_not_there_are_refused(rows):
    with pytest.raises(IndexError, match=r"integers in \[0, 6\)"):
        stream_of(VALUES).read(np.array(rows))


def test_without_a_mask_every_step_is_valid():
    np.testing.assert_array_equal(stream_of(VALUES).read_mask(np.array([3])), [[True, True]])


def test_a_vector_counts_as_one_valid_step():
    np.testing.assert_array_equal(stream_of(VALUES[:, 0]).read_mask(np.array([3, 4])), [[1], [1]])


def test_chunks_cover_all_rows_in_order():
    chunks = list(stream_of(VALUES, lengths=[4, 2]).chunks(max_bytes=70))  # a row has 16 bytes
    assert [rows.tolist() for rows, _ in chunks] == [[0, 1, 2, 3], [4, 5]]
    np.testing.assert_array_equal(np.concatenate([values for _, values in chunks]), VALUES)


def test_chunks_follow_the_rows_asked_for():
    chunks = [
        rows.tolist() for rows, _ in stream_of(VALUES).chunks(np.array([5, 0, 5]), max_bytes=32)
    ]
    assert chunks == [[5, 0], [5]]


def test_a_row_larger_than_the_limit_is_a_chunk_of_its_own():
    assert len(list(stream_of(VALUES).chunks(max_bytes=1))) == 6


def test_pooling_takes_the_mean_of_the_valid_steps():
    values = np.array([[[1.0], [3.0]], [[5.0], [900.0]]])
    stream = stream_of(values, np.array([[True, True], [True, False]]))
    pooled = stream.pooled(np.array([1, 0]))
    assert pooled.dtype == np.float32
    np.testing.assert_array_equal(pooled, [[5.0], [2.0]])


def test_pooling_without_a_mask_takes_the_mean_of_all_steps():
    np.testing.assert_array_equal(stream_of(VALUES).pooled(np.array([0])), [[1.0, 2.0]])


def test_pooling_leaves_vectors_as_they_are():
    np.testing.assert_array_equal(stream_of(VALUES[:, 0]).pooled(np.array([2])), VALUES[[2], 0])


def test_pooled_means_do_not_lose_precision_over_many_steps():
    values = np.full((1, 100_000, 1), 0.1, dtype=np.float32)
    np.testing.assert_array_equal(stream_of(values).pooled(np.array([0])), np.float32([[0.1]]))


@pytest.mark.parametrize(("row", "part", "local"), [(0, "0", 0), (2, "1", 1), (3, "2", 0)])
def test_a_row_is_located_in_its_part(row, part, local):
    found, found_row = stream_of(VALUES, lengths=[1, 2, 3]).locate(row)
    assert (found.path.stem, found_row) == (part, local)


def test_pictures_have_steps_and_channels():
    stream = stream_of(np.zeros((6, 2, 5, 4, 3), np.uint8))
    assert (stream.num_steps, stream.picture, stream.width) == (2, (5, 4), 3)
    assert stream_of(VALUES).picture is None


@pytest.mark.parametrize("masked", [True, False])
def test_pictures_are_pooled_to_the_mean_colour_of_their_valid_steps(masked):
    values = np.random.default_rng(0).integers(0, 256, (6, 2, 5, 4, 3), dtype=np.uint8)
    pooled = stream_of(values, MASK if masked else None).pooled(np.array([4, 0]))
    first = values[0, :1] if masked else values[0]
    expected = [values[4].mean((0, 1, 2)), first.mean((0, 1, 2))]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)
