"""Streamed moments are those that numpy computes of everything at once."""

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.statistics import feature_moments
from pipeline.data.stream import Stream, StreamPart


def stream_of(values, mask=None, *, split_at=()) -> Stream:
    """A stream of arrays in memory, cut into shards at the given rows."""
    masks = np.split(mask, split_at) if mask is not None else [None] * (len(split_at) + 1)
    parts = zip(np.split(values, split_at), masks, strict=True)
    return Stream(
        name="static",
        parts=tuple(StreamPart(path=Path("x.npy"), values=part, mask=m) for part, m in parts),
    )


@pytest.fixture
def small_chunks(monkeypatch):
    """Make every stream read at most two steps of three float32 features at once."""
    monkeypatch.setattr(Stream, "chunks", functools.partialmethod(Stream.chunks, max_bytes=24))


def test_a_vector_stream_is_measured_over_its_clips():
    mean, variance = feature_moments(stream_of(np.float32([[1, 10], [3, 10]])), np.arange(2))
    assert mean.tolist() == [2.0, 10.0]
    assert variance.tolist() == [1.0, 0.0]


def test_a_sequence_stream_is_measured_over_clips_and_steps():
    values = np.float32([[[1], [2]], [[3], [6]]])
    mean, variance = feature_moments(stream_of(values), np.arange(2))
    assert mean.tolist() == [3.0]
    assert variance.tolist() == [3.5]


def test_only_valid_steps_count():
    values = np.float32([[[1], [99]], [[3], [5]]])
    mask = np.array([[True, False], [True, True]])
    mean, variance = feature_moments(stream_of(values, mask), np.arange(2))
    assert mean.tolist() == [3.0]
    assert variance.tolist() == [pytest.approx(8 / 3)]


def test_only_the_rows_asked_for_count():
    values = np.float32([[1], [99], [3]])
    mean, variance = feature_moments(stream_of(values), np.array([0, 2]))
    assert (mean.tolist(), variance.tolist()) == ([2.0], [1.0])


def test_moments_are_float64():
    mean, variance = feature_moments(stream_of(np.float32([[1], [2]])), np.arange(2))
    assert mean.dtype == variance.dtype == np.float64


def test_a_large_offset_does_not_swallow_the_spread():
    values = np.float32(2**20 + np.array([[0.0], [0.5], [1.0]]))
    _, variance = feature_moments(stream_of(values), np.arange(3))
    assert variance.tolist() == [pytest.approx(1 / 6, rel=1e-12)]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("masked", [False, True])
def test_chunks_and_shards_do_not_change_the_moments(masked):
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, [0.1, 1.0, 10.0], size=(40, 2, 3)).astype(np.float32)
    mask = rng.uniform(size=(40, 2)) < 0.5
    mask[:, 0] |= ~mask.any(axis=1)
    rows = rng.permutation(40)[:31]
    stream = stream_of(values, mask if masked else None, split_at=(7, 20))
    assert len(list(stream.chunks(rows))) == 31

    mean, variance = feature_moments(stream, rows)
    valid = values[rows][mask[rows]] if masked else values[rows].reshape(-1, 3)
    np.testing.assert_allclose(mean, valid.mean(axis=0, dtype=np.float64), rtol=1e-13)
    np.testing.assert_allclose(variance, valid.var(axis=0, dtype=np.float64), rtol=1e-12)


@given(data=st.data(), num_clips=st.integers(1, 12), num_rows=st.integers(1, 5))
def test_any_chunk_size_gives_the_moments_of_numpy(data, num_clips, num_rows):
    numbers = st.floats(-1e4, 1e4, width=32)
    drawn = data.draw(st.lists(numbers, min_size=2 * num_clips, max_size=2 * num_clips))
    values = np.array(drawn, dtype=np.float32).reshape(num_clips, 2)
    stream = stream_of(values)
    chunked = functools.partial(stream.chunks, max_bytes=8 * num_rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, "chunks", lambda _, rows: chunked(rows))
        mean, variance = feature_moments(stream, np.arange(num_clips))
    wide = values.astype(np.float64)
    scale = 1.0 + np.abs(wide).max()
    np.testing.assert_allclose(mean, wide.mean(axis=0), atol=1e-12 * scale)
    np.testing.assert_allclose(variance, wide.var(axis=0), atol=1e-12 * scale**2)


@pytest.mark.parametrize("name", ["static", "dynamic"])
def test_real_features_have_the_moments_of_numpy(shared_data, name):
    values = np.load(shared_data / "first_impressions" / f"{name}.npy", mmap_mode="r")
    mean, variance = feature_moments(stream_of(values), np.arange(len(values)))
    flat = np.asarray(values, dtype=np.float32).reshape(-1, values.shape[-1])
    np.testing.assert_allclose(mean, flat.mean(axis=0, dtype=np.float64), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(variance, flat.var(axis=0, dtype=np.float64), rtol=1e-9, atol=1e-12)


def test_pictures_are_measured_by_channel_over_the_pixels_of_their_valid_steps():
    values = np.random.default_rng(0).random((4, 2, 5, 3, 3)).astype(np.float32)
    mask = np.array([[True, False]] * 4)
    mean, variance = feature_moments(stream_of(values, mask, split_at=[1]), np.arange(4))
    np.testing.assert_allclose(mean, values[:, 0].mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, values[:, 0].var((0, 1, 2)), rtol=1e-5)
