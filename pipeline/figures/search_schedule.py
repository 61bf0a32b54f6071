"""When which worker ran which trial, with long pauses of the whole search cut out.

A study that is continued the next day has a night without trials in its middle, which would
press both of its parts into lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.figures.search_study import Study, Trial
from pipeline.figures.spec import NothingToDraw

_LONG: Final = 0.15
"""A pause is cut where it takes more than this share of the time with trials."""

_KEPT: Final = 0.02
"""What stays of a pause, as a share of the time with trials."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bar:
    """The time that one trial took."""

    trial: Trial
    row: int
    """Row of its worker."""
    begin: float
    """Seconds from the first trial's begin, without what is cut of pauses."""
    end: float
    """Seconds alike; the last known moment for a trial that is running."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """A time without any trial, cut short."""

    at: float
    """Where its remainder stands, in seconds as those of the bars."""
    seconds: float
    """How long it was."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """The trials of a study in time."""

    rows: tuple[str, ...]
    """Worker of each row; a worker whose trials overlap has further rows, with empty names."""
    bars: tuple[Bar, ...]
    pauses: tuple[Pause, ...]

    @property
    def seconds(self) -> float:
        """Length of the time axis."""
        return max(bar.end for bar in self.bars)

    @property
    def busy_share(self) -> float:
        """Share of the rows' time that trials took; the cut parts of pauses do not count."""
        whole = len(self.rows) * self.seconds
        return sum(bar.end - bar.begin for bar in self.bars) / whole if whole else 1.0


def read_schedule(study: Study) -> Schedule:
    """Return which worker ran which trial when.

    Raises:
        NothingToDraw: If no trial has begun.
    """
    begun = sorted(
        ((trial.started, trial) for trial in study.trials if trial.started is not None),
        key=lambda pair: (pair[0], pair[1].number),
    )
    if not begun:
        raise NothingToDraw("no trial has begun.")
    known = [start + (trial.seconds or 0.0) for start, trial in begun]
    spans = [(start, _end(start, trial, max(known)), trial) for start, trial in begun]
    breaks = _breaks([(start, end) for start, end, _ in spans])
    rows, places = _rows(spans)
    return Schedule(
        rows=rows,
        bars=tuple(
            Bar(
                trial=trial,
                row=row,
                begin=_cut(start, begun[0][0], breaks),
                end=_cut(end, begun[0][0], breaks),
            )
            for (start, end, trial), row in zip(spans, places, strict=True)
        ),
        pauses=tuple(
            Pause(at=_cut(begin, begun[0][0], breaks) + kept / 2, seconds=end - begin)
            for begin, end, kept in breaks
        ),
    )


def _end(start: float, trial: Trial, last_known: float) -> float:
    if trial.seconds is not None:
        return start + trial.seconds
    return max(start, last_known) if trial.state == "running" else start


def _breaks(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Return begin, end and kept seconds of the pauses that are long; `spans` are in order."""
    gaps, reached = [], spans[0][1]
    for start, end in spans:
        if start > reached:
            gaps.append((reached, start))
        reached = max(reached, end)
    busy = reached - spans[0][0] - sum(end - begin for begin, end in gaps)
    return [(begin, end, _KEPT * busy) for begin, end in gaps if end - begin > _LONG * busy]


def _cut(moment: float, origin: float, breaks: Sequence[tuple[float, float, float]]) -> float:
    """Return the seconds from the origin to a moment, without what is cut in between."""
    removed = sum(end - begin - kept for begin, end, kept in breaks if end <= moment)
    return moment - origin - removed


def _rows(spans: Sequence[tuple[float, float, Trial]]) -> tuple[tuple[str, ...], list[int]]:
    """Return the name of each row, and the row of each span; none overlaps another in its row."""
    lanes: dict[str, list[float]] = {}
    at = []
    for start, end, trial in spans:
        free_at = lanes.setdefault(trial.worker or "unknown worker", [])
        lane = next((lane for lane, free in enumerate(free_at) if free <= start), len(free_at))
        free_at[lane : lane + 1] = [end]
        at.append((trial.worker or "unknown worker", lane))
    names: list[str] = []
    first_row = {}
    for worker, free_at in lanes.items():
        first_row[worker] = len(names)
        names += [worker, *[""] * (len(free_at) - 1)]
    return tuple(names), [first_row[worker] + lane for worker, lane in at]
