import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.stream import PooledFeatures, Stream, StreamPart, feature_moments

VALUES = np.arange(24, dtype=np.float64).reshape(6, 2, 2)
MASK = np.array([[True, False]] * 3 + [[True, True]] * 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 2, 5, 4, 3), dtype=np.uint8)


def stream_of(values, mask=None, lengths=None) -> Stream:
    """Return a stream with parts of the given lengths."""
    ends = np.cumsum(lengths or [len(values)])[:-1]
    masks = [None] * (len(ends) + 1) if mask is None else np.split(mask, ends)
    parts = [
        StreamPart(path=Path(f"{number}.npy"), values=part, mask=part_mask)
        for number, (part, part_mask) in enumerate(zip(np.split(values, ends), masks, strict=True))
    ]
    return Stream(name="static", parts=tuple(parts))


@pytest.mark.parametrize(
    ("stream", "shape", "num_steps", "width", "image_size"),
    [
        (stream_of(VALUES, lengths=[1, 2, 3]), (6, 2, 2), 2, 2, None),
        (stream_of(VALUES[:, 0]), (6, 2), None, 2, None),
        (stream_of(IMAGES), (6, 2, 5, 4, 3), 2, 3, (5, 4)),
    ],
)
def test_steps_width_and_image_size_are_derived_from_the_shape(
    stream, shape, num_steps, width, image_size
):
    assert (stream.shape, stream.num_steps, stream.width) == (shape, num_steps, width)
    assert stream.image_size == image_size


@given(rows=st.lists(st.integers(0, 5), max_size=9), cut=st.integers(1, 5))
def test_rows_are_read_in_any_order_from_all_parts(rows, cut):
    stream = stream_of(VALUES, MASK, lengths=[cut, 6 - cut])
    rows = np.array(rows, dtype=int)
    np.testing.assert_array_equal(stream.read(rows), VALUES[rows])
    np.testing.assert_array_equal(stream.read_mask(rows), MASK[rows])


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "int16"])
def test_every_dtype_is_read_as_native_float32(dtype):
    read = stream_of(VALUES.astype(dtype)).read(np.array([5, 0]))
    np.testing.assert_array_equal(read, VALUES[[5, 0]])
    assert read.dtype.newbyteorder("=") == read.dtype == np.float32


@pytest.mark.parametrize("rows", [[-1], [6], [0.0], [True]])
def test_bad_row_numbers_are_an_error(rows):
    with pytest.raises(IndexError, match=r"integers in \[0, 6\)"):
        stream_of(VALUES).read(np.array(rows))


def test_chunks_cover_all_rows_in_order():
    chunks = list(stream_of(VALUES, lengths=[4, 2]).chunks(max_bytes=70))  # a row has 16 bytes
    assert [rows.tolist() for rows, _ in chunks] == [[0, 1, 2, 3], [4, 5]]
    np.testing.assert_array_equal(np.concatenate([values for _, values in chunks]), VALUES)


def test_chunks_of_all_rows_of_a_file_are_not_copied():
    stored = VALUES.astype(np.float32)
    ((_, values),) = stream_of(stored).chunks()
    assert np.shares_memory(values, stored)


@pytest.mark.parametrize(("max_bytes", "expected"), [(32, [[5, 0], [5]]), (1, [[5], [0], [5]])])
def test_chunks_follow_the_given_rows(max_bytes, expected):
    chunks = stream_of(VALUES).chunks(np.array([5, 0, 5]), max_bytes=max_bytes)
    assert [chunk.tolist() for chunk, _ in chunks] == expected


@pytest.mark.parametrize(
    ("values", "mask", "expected"),
    [
        ([[[1], [3]], [[5], [900]]], [[True, True], [True, False]], [[5], [2]]),
        (VALUES[:2], None, [[5, 6], [1, 2]]),
        (VALUES[:2, 0], None, VALUES[[1, 0], 0]),
        (IMAGES[:2], None, IMAGES[[1, 0]].mean((1, 2, 3))),
        (IMAGES[:2], MASK[2:4], [IMAGES[1].mean((0, 1, 2)), IMAGES[0, 0].mean((0, 1))]),
    ],
    ids=["masked", "sequences", "vectors", "images", "masked images"],
)
def test_pooling_is_the_mean_over_valid_steps(values, mask, expected):
    mask = None if mask is None else np.array(mask)
    pooled = stream_of(np.asarray(values), mask).pool(np.array([1, 0]))
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


def test_pooling_many_steps_does_not_lose_precision():
    values = np.full((1, 100_000, 1), 0.1, dtype=np.float32)
    np.testing.assert_array_equal(stream_of(values).pool(np.array([0])), np.float32([[0.1]]))


def test_a_slice_of_pooled_features_is_computed_on_access():
    rows = np.array([5, 0, 3, 3])
    pooled = PooledFeatures(stream=stream_of(VALUES), rows=rows)
    assert pooled.shape == (4, 2)
    np.testing.assert_array_equal(pooled[1:3], stream_of(VALUES).pool(rows)[1:3])


@pytest.mark.parametrize(("row", "part", "local"), [(0, "0", 0), (2, "1", 1), (3, "2", 0)])
def test_a_row_is_located_in_its_part(row, part, local):
    found, found_row = stream_of(VALUES, lengths=[1, 2, 3]).locate(row)
    assert (found.path.stem, found_row) == (part, local)


@pytest.mark.parametrize(
    ("values", "mask", "rows", "mean", "variance"),
    [
        ([[1, 10], [3, 10]], None, [0, 1], [2, 10], [1, 0]),
        ([[[1], [2]], [[3], [6]]], None, [0, 1], [3], [3.5]),
        ([[[1], [99]], [[3], [5]]], [[True, False], [True, True]], [0, 1], [3], [8 / 3]),
        ([[1], [99], [3]], None, [0, 2], [2], [1]),
        (2**20 + np.array([[0.0], [0.5], [1.0]]), None, [0, 1, 2], [2**20 + 0.5], [1 / 6]),
    ],
    ids=["vectors", "sequences", "masked", "some rows", "large offset"],
)
def test_moments_have_the_values_computed_by_hand(values, mask, rows, mean, variance):
    mask = None if mask is None else np.array(mask)
    found = feature_moments(stream_of(np.float32(values), mask), np.array(rows))
    assert found[0].dtype == found[1].dtype == np.float64
    np.testing.assert_allclose(found[0], mean, rtol=1e-12)
    np.testing.assert_allclose(found[1], variance, rtol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_chunks_and_shards_do_not_change_the_moments(monkeypatch, masked):
    monkeypatch.setattr(Stream, "chunks", functools.partialmethod(Stream.chunks, max_bytes=24))
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, [0.1, 1.0, 10.0], size=(40, 2, 3)).astype(np.float32)
    mask = rng.uniform(size=(40, 2)) < 0.5
    mask[:, 0] |= ~mask.any(axis=1)
    rows = rng.permutation(40)[:31]
    stream = stream_of(values, mask if masked else None, lengths=[7, 13, 20])
    assert len(list(stream.chunks(rows))) == 31

    mean, variance = feature_moments(stream, rows)
    valid = values[rows][mask[rows]] if masked else values[rows].reshape(-1, 3)
    np.testing.assert_allclose(mean, valid.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(variance, valid.var(axis=0, dtype=np.float64), rtol=1e-12)


ABSENT = np.array([[True, False], [False, False], [True, True]])
VECTOR_MASK = np.array([[True], [False], [True]])


def test_a_clip_without_a_valid_step_lacks_the_stream():
    assert not stream_of(VALUES, MASK).can_be_absent
    assert not stream_of(VALUES).is_absent.any()
    for mask, lengths in [(ABSENT, None), (ABSENT, [1, 2]), (VECTOR_MASK, [2, 1])]:
        values = VALUES[:3] if mask is ABSENT else VALUES[:3, 0]
        stream = stream_of(values, mask, lengths)
        assert stream.can_be_absent
        assert stream.is_absent.tolist() == [False, True, False]


def test_pooled_features_of_a_missing_stream_are_nan():
    values = np.array([[[1.0], [3.0]], [[5.0], [7.0]], [[2.0], [4.0]]])
    pooled = stream_of(values, ABSENT).pool(np.array([2, 1, 0]))
    np.testing.assert_array_equal(pooled, [[3], [np.nan], [1]])
    pooled = stream_of(values[:, 0], VECTOR_MASK).pool(np.array([2, 1, 0]))
    np.testing.assert_array_equal(pooled, [[2], [np.nan], [1]])


def test_moments_skip_the_clips_that_lack_the_stream():
    values = np.array([[[1.0], [3.0]], [[5.0], [7.0]], [[2.0], [6.0]]])
    mean, variance = feature_moments(stream_of(values, ABSENT), np.arange(3))  # of 1, 2 and 6
    np.testing.assert_allclose([mean, variance], [[3.0], [14 / 3]])
    mean, variance = feature_moments(stream_of(values[:, 0], VECTOR_MASK), np.arange(3))
    np.testing.assert_allclose([mean, variance], [[1.5], [0.25]])


def test_moments_of_a_stream_that_all_rows_lack_are_zero():
    moments = feature_moments(stream_of(VALUES[:3], ABSENT), np.array([1]))
    np.testing.assert_array_equal(moments, np.zeros((2, 2)))
