"""`evaluation.json`: metrics of one model on one subset, with intervals and baselines."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, get_args

import pydantic

from pipeline.config.schema import Monitor
from pipeline.core.files import write_json
from pipeline.records.typed_json import read_record

_METRICS: Final = tuple(name for name in get_args(Monitor) if name != "loss")

End = Annotated[float, pydantic.BeforeValidator(lambda end: math.nan if end is None else end)]
"""Lower or upper end of an interval; null becomes NaN."""


@dataclass(frozen=True)
class Interval:
    """A measured value and its bootstrap interval."""

    value: float
    """Value on all clips, e.g. a metric or the difference between two models."""
    low: End = math.nan
    """Lower end; NaN if there is only one group."""
    high: End = math.nan
    """Upper end; NaN if there is only one group."""

    @property
    def exists(self) -> bool:
        """True if both ends are finite."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        """True if the interval does not contain 0."""
        return self.low > 0 or self.high < 0

    def overlaps(self, other: "Interval") -> bool:
        """Return True if the intervals overlap, or if one of the intervals does not exist."""
        return not (self.low > other.high or self.high < other.low)


Intervals: TypeAlias = Mapping[str, Mapping[str, Interval]]
"""Metric -> trait name or "mean" -> interval."""


def _check_complete(scores: Intervals) -> Intervals:
    names = dict.fromkeys(("mean", *(name for traits in scores.values() for name in traits)))
    for metric in _METRICS:
        for name in names:
            if name not in scores.get(metric, {}):
                raise ValueError(f"has no {metric} for {name}")
    if len(names) < 2:
        raise ValueError("has no trait")
    return scores


Scores = Annotated[dict[str, dict[str, Interval]], pydantic.AfterValidator(_check_complete)]
"""Intervals of all metrics, for all traits and their mean."""


def trait_names(scores: Intervals) -> tuple[str, ...]:
    """Return the names of the traits in `scores`, in their order, without "mean"."""
    return tuple(name for name in next(iter(scores.values())) if name != "mean")


def _check_overlap(overlap: dict[str, Any]) -> dict[str, Any]:
    for name in ("shared_groups", "shared_clips"):
        if name not in overlap:
            raise ValueError(f"has no {name}")
    return overlap


Overlap = Annotated[dict[str, int | float], pydantic.AfterValidator(_check_overlap)]
"""Overlap of two subsets. `shared_groups` is the number of groups that occur in both subsets.
`shared_clips` is the fraction of clips in the second subset whose group occurs in the first."""


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """Metrics on the clips that have the same value in one column of `clips.csv`."""

    num_clips: int
    num_groups: int
    metrics: Scores


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Coverage and mean width of the prediction intervals."""

    level: float
    """Nominal coverage, in (0, 1)."""
    measured_on: str
    """Description of the clips on which the coverage was measured."""
    num_clips: int
    num_groups: int
    coverage: dict[str, Interval]
    """Trait name or "mean" -> measured coverage; every group has the same weight."""
    mean_width: dict[str, float]
    """Trait name or "mean" -> mean width of the intervals, in score units."""

    def __post_init__(self) -> None:
        for name in dict.fromkeys(("mean", *self.coverage, *self.mean_width)):
            if name not in self.coverage or name not in self.mean_width:
                raise ValueError(f"has no coverage or width for {name}")


@dataclass(frozen=True, kw_only=True)
class OriginalUnits:
    """Errors in the units of the annotations before scaling to [0, 1]."""

    label_ranges: dict[str, tuple[float, float]]
    """Trait name -> lowest and highest possible annotation."""
    mae: dict[str, Interval]
    """Trait name or "mean" -> error; without "mean" if the ranges differ."""
    rmse: dict[str, Interval]
    """Root mean squared error, with the keys of `mae`."""

    def __post_init__(self) -> None:
        for name in dict.fromkeys((*self.label_ranges, *self.mae, *self.rmse)):
            if name == "mean":
                continue
            if not (name in self.label_ranges and name in self.mae and name in self.rmse):
                raise ValueError(f"has no range, MAE or RMSE for {name}")

    @property
    def errors(self) -> dict[str, dict[str, Interval]]:
        """Metric -> trait name or "mean" -> error."""
        return {"mae": self.mae, "rmse": self.rmse}


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """Content of `evaluation.json`."""

    split: str
    """Name of the subset, e.g. "test"."""
    num_clips: int
    num_groups: int
    """Number of groups. The bootstrap resamples whole groups, not single clips."""
    metrics: Scores
    baselines: dict[str, Scores]
    """Name of a baseline -> its metrics on the same clips and the same resamples."""
    baseline_differences: dict[str, Scores]
    """Name of a baseline -> metrics of the model minus metrics of the baseline."""
    without_stream: dict[str, Scores] = field(default_factory=dict)
    """Name of a stream -> metrics of the model minus its metrics without this stream."""
    by: dict[str, dict[str, Subgroup]] = field(default_factory=dict)
    """Column of `clips.csv` -> value -> metrics on the clips with this value."""
    group_overlap: dict[str, Overlap] = field(default_factory=dict)
    """Pair of subsets, e.g. `train/validation` -> overlap of their groups."""
    intervals: Coverage | None = None
    """Coverage of the prediction intervals; None if it was not measured."""
    original_units: OriginalUnits | None = None
    """Errors in original units; None if annotations were in [0, 1] or their range is unknown."""
    confidence: float = 0.95
    """Confidence level of the intervals, in (0, 1)."""
    num_resamples: int

    def __post_init__(self) -> None:
        for name in self.baselines:
            if name not in self.baseline_differences:
                raise ValueError(f"has no difference to the baseline {name}")
        expected = set(self.trait_names)
        for place, names in self._trait_names():
            if names - {"mean"} != expected:
                raise ValueError(
                    f"{place} must have the traits {', '.join(self.trait_names)}, but has "
                    f"{', '.join(sorted(names - {'mean'}))}"
                )

    @property
    def trait_names(self) -> tuple[str, ...]:
        """Names of the traits, in the order of the scores."""
        return trait_names(self.metrics)

    def _trait_names(self) -> Iterator[tuple[str, set[str]]]:
        """Yield two values for each part with scores: its name, and the names in this part."""
        for part, scores_of in (
            ("baselines", self.baselines),
            ("baseline_differences", self.baseline_differences),
        ):
            for name, scores in scores_of.items():
                yield f"{part}.{name}", set(scores["mae"])
        for column, subgroups in self.by.items():
            for value, subgroup in subgroups.items():
                yield f"by.{column}.{value}", set(subgroup.metrics["mae"])
        if self.intervals is not None:
            yield "intervals", set(self.intervals.coverage)
        if self.original_units is not None:
            yield "original_units", set(self.original_units.mae)

    @property
    def interval_name(self) -> str:
        """Name of the intervals, e.g. `95 % interval`."""
        return f"{100 * self.confidence:g}\N{NO-BREAK SPACE}% interval"


def write_report(path: Path, report: EvaluationReport) -> None:
    """Write `evaluation.json` atomically. If an interval does not exist, its ends are null."""
    write_json(path, dataclasses.asdict(report))


def read_report(path: Path) -> EvaluationReport:
    """Read `evaluation.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(EvaluationReport, path)
