"""Rows of the benchmark: measured quantity, rival and goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.timing import Spread, spread

KINDS: Final = ("sequences", "vectors")
BATCH_SIZES: Final = (32, 128)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table."""

    key: str
    group: str
    """Name of the module in `benchmarks.measure` that measures the row."""
    what: str
    """Measured quantity."""
    rival: str
    """Rival, or the reference of a ratio."""
    goal: float
    is_minimum: bool = False
    """Whether the goal is a minimum. Otherwise, it is a maximum."""
    kind: Literal["ratio", "seconds", "extra_seconds"] = "ratio"
    """Meaning of the value: ours / rival, ours in seconds, or ours - rival in seconds."""
    unit: str
    """Unit of the values of both sides."""

    def is_reached(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return value >= self.goal if self.is_minimum else value <= self.goal


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Repeated measurements of a row. Both lists have one value per repeat."""

    row: Row
    ours: Sequence[float]
    rival: Sequence[float] = ()
    """Values of the rival; empty if the row has no rival."""
    note: str = ""
    """Further numbers, as one sentence."""
    failure: str = ""
    """Condition of the row that is violated, e.g. another result than the rival; "" if none."""

    @property
    def values(self) -> list[float]:
        """Value of each repeat, in the unit of the goal."""
        if self.row.kind == "seconds":
            return list(self.ours)
        pairs = zip(self.ours, self.rival, strict=True)
        if self.row.kind == "extra_seconds":
            return [ours - rival for ours, rival in pairs]
        return [ours / rival for ours, rival in pairs]

    @property
    def spread(self) -> Spread:
        """Median and range of the values."""
        return spread(self.values)

    @property
    def is_reached(self) -> bool:
        """Whether the median reaches the goal, without a failure."""
        return not self.failure and self.row.is_reached(self.spread.median)


def _fit_rows() -> list[Row]:
    rows = []
    for name, rival, goal in (
        ("plain_fit", "bare Keras `fit`, same `steps_per_execution`", 0.97),
        ("tracked_fit", "Keras `fit` with CSVLogger, TensorBoard, ModelCheckpoint, MLflow", 1.5),
    ):
        rows += [
            Row(
                key=f"{name}/{kind}/{batch_size}",
                group="training",
                what=f"recorded and tracked training, {kind}, batch {batch_size}",
                rival=rival,
                goal=goal,
                is_minimum=True,
                unit="clips/s",
            )
            for kind in KINDS
            for batch_size in BATCH_SIZES
        ]
    return rows


ROWS: Final = (
    *_fit_rows(),
    Row(
        key="cross_validation",
        group="cross_validation",
        what="`train` with 5 folds, 324 clips, default configuration",
        rival="the same without folds",
        goal=2.0,
        unit="s",
    ),
    Row(
        key="search",
        group="search",
        what="trials per hour of `search`, two workers",
        rival="plain Optuna loop with Keras `fit`, for the same time",
        goal=4.0,
        is_minimum=True,
        unit="trials/h",
    ),
    Row(
        key="memory/search_worker",
        group="search",
        what="peak memory of a search worker",
        rival="process of the plain loop",
        goal=1.25,
        unit="MB",
    ),
    Row(
        key="first_step",
        group="commands",
        what="time from the start of `train` to the first training step",
        rival='`python -c "import tensorflow"`',
        goal=1.5,
        kind="extra_seconds",
        unit="s",
    ),
    Row(
        key="train",
        group="commands",
        what="`train` with first_impressions.yaml, with figures and report",
        rival="",
        goal=12.0,
        kind="seconds",
        unit="s",
    ),
    *(
        Row(
            key=f"predict/{kind}",
            group="prediction",
            what=f"`predict`, 10,000 clips of {kind} from disk",
            rival="script with `model.predict`, imports included",
            goal=1.0,
            unit="s",
        )
        for kind in reversed(KINDS)
    ),
    Row(
        key="memory/train",
        group="large_sets",
        what="peak memory of `train`, 100,000 clips from disk",
        rival="the same with 1,000 clips",
        goal=2.0,
        unit="MB",
    ),
    *(
        Row(
            key=f"clip_cost/{num_clips}",
            group="large_sets",
            what=f"training time per clip, {num_clips:,} clips from disk",
            rival="the same with 1,000 clips",
            goal=1.25,
            unit="µs",
        )
        for num_clips in (10_000, 100_000)
    ),
)

GROUPS: Final = tuple(dict.fromkeys(row.group for row in ROWS))
"""Names of the modules in `benchmarks.measure`, in the order of the table."""


def find_row(key: str) -> Row:
    """Return the row with a key."""
    return next(row for row in ROWS if row.key == key)
