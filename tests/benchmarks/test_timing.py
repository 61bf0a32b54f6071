"""Repeats are interleaved, and their median and range are reported."""

import itertools
import time

import pytest

from benchmarks.timing import EpochClock, interleave, spread


def test_the_variants_alternate():
    calls = []
    interleave(
        {"rival": lambda: calls.append("rival"), "ours": lambda: calls.append("ours")},
        max_repeats=3,
    )
    assert calls == ["rival", "ours"] * 3


def test_each_round_has_the_results_of_all_variants():
    numbers = itertools.count()
    rounds = interleave(
        {"rival": lambda: next(numbers), "ours": lambda: next(numbers)}, max_repeats=2
    )
    assert rounds == [{"rival": 0, "ours": 1}, {"rival": 2, "ours": 3}]


@pytest.mark.parametrize(("budget_seconds", "num_rounds"), [(0.0, 1), (25.0, 2), (100.0, 5)])
def test_a_round_starts_only_if_it_probably_ends_in_time(monkeypatch, budget_seconds, num_rounds):
    now = [0.0]
    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: now[0])

    def take_ten_seconds():
        now[0] += 10.0

    rounds = interleave({"ours": take_ten_seconds}, max_repeats=5, budget_seconds=budget_seconds)
    assert len(rounds) == num_rounds


def test_the_spread_has_median_minimum_and_maximum():
    measured = spread([5.0, 1.0, 2.0, 10.0])
    assert (measured.median, measured.low, measured.high) == (3.5, 1.0, 10.0)


def test_the_first_epoch_is_not_measured(monkeypatch):
    wall, cpu = iter([100.0, 102.0, 106.0]), iter([10.0, 11.0, 13.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(time, "process_time", lambda: next(cpu))
    clock = EpochClock()
    for _ in range(3):
        clock.tick()
    assert clock.seconds_per_epoch() == (3.0, 1.5)
