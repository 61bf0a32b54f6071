"""One seed, many independent streams."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.seeds import generator

SEEDS = st.integers(0, 2**40)
NAMES = st.text(min_size=1, max_size=12)
EPOCHS = st.integers(0, 10_000)


def draw(seed: int, stream: str, epoch: int = 0) -> list[int]:
    return generator(seed, stream, epoch=epoch).integers(2**62, size=4).tolist()


@given(SEEDS, NAMES, EPOCHS)
def test_the_same_call_draws_the_same(seed, stream, epoch):
    assert draw(seed, stream, epoch) == draw(seed, stream, epoch)


@given(SEEDS, NAMES, NAMES, EPOCHS)
def test_streams_of_two_names_differ(seed, one, other, epoch):
    if one != other:
        assert draw(seed, one, epoch) != draw(seed, other, epoch)


@given(SEEDS, NAMES, EPOCHS, EPOCHS)
def test_epochs_of_one_stream_differ(seed, stream, one, other):
    if one != other:
        assert draw(seed, stream, one) != draw(seed, stream, other)


@given(SEEDS, SEEDS, NAMES, EPOCHS)
def test_seeds_differ(one, other, stream, epoch):
    if one != other:
        assert draw(one, stream, epoch) != draw(other, stream, epoch)


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    expected = draw(3, "shuffle", 7)
    np.random.default_rng(3).normal(size=100)
    for epoch in range(7):
        draw(3, "shuffle", epoch)
    draw(3, "split")
    assert draw(3, "shuffle", 7) == expected


def test_streams_are_not_correlated():
    streams = [generator(0, name).normal(size=20_000) for name in ("shuffle", "split", "noise")]
    off_diagonal = np.corrcoef(streams)[np.triu_indices(3, k=1)]
    # Five standard errors of a correlation of independent numbers, 1/sqrt(20,000) each.
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(20_000)


def test_the_numbers_are_those_of_every_version():
    # Splits and orders that were published hang on them.
    assert generator(0, "shuffle", epoch=7).permutation(6).tolist() == [3, 4, 1, 0, 5, 2]


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="non-negative"):
        generator(-1, "shuffle")
