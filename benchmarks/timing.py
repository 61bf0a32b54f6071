"""Interleaved repeats, and the median and the spread of measured values."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Measured = TypeVar("Measured")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Median and range of repeated measurements."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median, the minimum and the maximum of at least one value."""
    return Spread(median=statistics.median(values), low=min(values), high=max(values))


def interleave(
    variants: Mapping[str, Callable[[], Measured]],
    *,
    max_repeats: int,
    budget_seconds: float = float("inf"),
) -> list[dict[str, Measured]]:
    """Call all variants in turn, and repeat: A, B, A, B, ...

    A slow phase of the machine then affects all variants. There is at least one round. A further
    round starts only if it probably ends within `budget_seconds`.

    Returns:
        Results of each round: name of the variant -> result.
    """
    rounds: list[dict[str, Measured]] = []
    start = time.perf_counter()
    while len(rounds) < max_repeats:
        elapsed = time.perf_counter() - start
        if rounds and elapsed * (1 + 1 / len(rounds)) > budget_seconds:
            break
        rounds.append({name: call() for name, call in variants.items()})
    return rounds


class EpochClock:
    """Ends of the epochs of a training run, in wall-clock time and in CPU time of the process."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, float]] = []

    def tick(self, *_: object) -> None:
        """Record the end of an epoch."""
        self._ends.append((time.perf_counter(), time.process_time()))

    def seconds_per_epoch(self) -> tuple[float, float]:
        """Return the mean wall-clock and CPU time of an epoch.

        The first epoch is not included, because it contains the tracing.
        """
        (first, first_cpu), (last, last_cpu) = self._ends[0], self._ends[-1]
        num_epochs = len(self._ends) - 1
        return (last - first) / num_epochs, (last_cpu - first_cpu) / num_epochs
