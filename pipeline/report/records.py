"""What the files of a run directory say, typed; what cannot be used is named, not guessed.

The files are written by other parts and may be damaged or missing, so each is checked by
itself: one that does not fit becomes a problem in words, and the others still count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import pydantic

from pipeline.config.schema import ExperimentConfig
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.data.data_warnings import DataWarning
from pipeline.metrics.regression import METRICS


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A measured value and its interval."""

    value: float
    """The metric on all clips."""
    low: float | None = None
    """Lower end; None where one group only shows no spread."""
    high: float | None = None
    """Upper end; None where one group only shows no spread."""


Scores: TypeAlias = dict[str, dict[str, Estimate]]
"""Metric -> trait name or "mean" -> estimate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """What two sides of a split share."""

    shared_groups: int
    """Number of groups that are on both sides."""
    shared_clips: float
    """Share, in [0, 1], of the second side's clips whose group is on the first side too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subgroup:
    """The scores of the clips with one value in a column."""

    num_clips: int
    num_groups: int
    metrics: Scores

    def __post_init__(self) -> None:
        _check_scores(self.metrics)


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionIntervals:
    """How often prediction intervals held the annotated score."""

    level: float
    """Share that they promise, in (0, 1)."""
    measured_on: str
    """Which clips this is about, in words."""
    num_clips: int
    num_groups: int
    coverage: dict[str, Estimate]
    """Trait name or "mean" -> covered share, every group weighing the same."""
    mean_width: dict[str, float]
    """Trait name or "mean" -> mean width, in units of the score."""

    def __post_init__(self) -> None:
        for name in ("mean", *TRAITS):
            if name not in self.coverage or name not in self.mean_width:
                raise ValueError(f"has no coverage or width of {name}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """`evaluation.json`: one evaluation, with baselines and subgroups."""

    split: str
    num_clips: int
    num_groups: int
    metrics: Scores
    baselines: dict[str, Scores]
    baseline_differences: dict[str, Scores] = field(default_factory=dict)
    """Name of a baseline -> model minus baseline, paired on the same resamples; without it,
    only intervals that do not overlap count as evidence."""
    by: dict[str, dict[str, Subgroup]] = field(default_factory=dict)
    """Column -> value -> the scores of the clips with that value."""
    group_overlap: dict[str, Overlap] = field(default_factory=dict)
    """Pair of sides, e.g. `train/validation` -> what they share."""
    intervals: PredictionIntervals | None = None
    """What its prediction intervals are worth; None where that was not measured."""
    confidence: float
    """Share of the resamples that each interval holds, in (0, 1)."""
    num_resamples: int

    def __post_init__(self) -> None:
        compared = (*self.baselines.values(), *self.baseline_differences.values())
        for scores in (self.metrics, *compared):
            _check_scores(scores)

    @property
    def interval_name(self) -> str:
        """What its intervals are called, e.g. `95 % interval`."""
        return f"{100 * self.confidence:g}\N{NO-BREAK SPACE}% interval"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """`summary.json`: what was trained, on what."""

    name: str
    seed: int
    num_epochs: int
    best_epoch: int
    monitor: str
    best_value: float | None = None
    trainable_weights: int
    total_weights: int
    num_clips: dict[str, int]
    """Side of the split -> number of clips."""
    num_groups: dict[str, int]
    """Side of the split -> number of groups."""
    group_overlap: dict[str, Overlap] = field(default_factory=dict)
    frozen_at_random: tuple[str, ...] = ()
    """Layers that kept random weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GitState:
    """Which code ran; empty outside a checkout."""

    commit: str = ""
    is_dirty: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """`environment.json`: code, versions, machine and command behind the run."""

    command: str
    git: GitState = GitState()
    python: str
    packages: dict[str, str]
    platform: str
    num_cpus: int | None = None
    device: str | None = None
    """Name of the GPU that trained, or "CPU"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """`data.json`: the feature set behind the run."""

    digest: str
    num_clips: int
    static_shape: list[int]
    dynamic_shape: list[int]
    sources: list[str]
    encoder: Any = "unknown"
    """What the features are made by: a name, or a description with entries."""
    traits: tuple[TraitLabel, ...] = ()
    """How each trait is scored; empty if the data does not say it."""
    warnings: tuple[DataWarning, ...] = ()
    """Signs that features or names are ruined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochHistory:
    """The epochs in `metrics_history.json`."""

    epoch_numbers: list[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """`metrics_history.json`; only what the report tells in words."""

    epoch: EpochHistory


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRateLogs:
    """`lr_logs.json`; figures draw it, and the report only says where it is damaged."""

    learning_rate: list[float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeLogs:
    """`time_logs.json`: measured times, in seconds."""

    epoch_times: list[float]
    """The training part of each epoch."""
    validation_times: list[float] = field(default_factory=list)
    batch_times: list[float] = field(default_factory=list)
    batch_wait_times: list[float] = field(default_factory=list)
    total_training_time: float | None = None
    breakdown: dict[str, float | list[float | None] | None] | None = None
    """What the time went to -> seconds, as a whole or epoch by epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """One entry of `training_speedup_recommendations.json`."""

    issue: str
    """What is slow, a few words."""
    details: str
    """What was measured, one sentence with numbers."""
    recommendation: str
    """What to do."""
    expected_gain: str = ""
    """What it would save, with what that depends on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecords:
    """Everything that the report tells about a run; None stands for what is not known."""

    name: str
    """Name of the run directory."""
    directory: str = ""
    """Where it is, as a command names it; empty where that is not known."""
    config: ExperimentConfig | None = None
    summary: Summary | None = None
    evaluation: Evaluation | None = None
    environment: Environment | None = None
    features: Features | None = None
    history: History | None = None
    time_logs: TimeLogs | None = None
    lr_logs: LearningRateLogs | None = None
    recommendations: tuple[Recommendation, ...] | None = None
    status: str | None = None
    """How the run ended, e.g. FINISHED or KILLED; None where nothing says that it did."""
    problems: tuple[str, ...] = ()
    """What is missing or damaged, one line each."""


CONFIG_FILE: Final = "config.yaml"
"""Where the configuration is, relative to the run directory."""

FILES: Final[Mapping[str, tuple[str, Any]]] = {
    CONFIG_FILE: ("config", ExperimentConfig),
    "summary.json": ("summary", Summary),
    "evaluation.json": ("evaluation", Evaluation),
    "environment.json": ("environment", Environment),
    "data.json": ("features", Features),
    "batch_metrics/metrics_history.json": ("history", History),
    "time_tracking/time_logs.json": ("time_logs", TimeLogs),
    "lr_tracking/lr_logs.json": ("lr_logs", LearningRateLogs),
    "training_time_analysis/training_speedup_recommendations.json": (
        "recommendations",
        tuple[Recommendation, ...],
    ),
}
"""File, relative to the run directory -> the field of `RunRecords` it fills, and its form."""

_OPTIONAL: Final = frozenset({"training_time_analysis/training_speedup_recommendations.json"})


def parse_records(
    contents: Mapping[str, Any],
    *,
    name: str,
    directory: str = "",
    unreadable: Mapping[str, str] | None = None,
    status: str | None = None,
) -> RunRecords:
    """Check the contents of a run's files, and keep what can be used.

    Args:
        contents: File of `FILES` -> its content, as a YAML or JSON reader returns it.
        name: Name of the run directory.
        directory: Where it is, as a command names it.
        unreadable: File -> why it could not be read.
        status: How the run ended: FINISHED, FAILED or KILLED; None where nothing says it.
    """
    values: dict[str, Any] = {}
    problems = []
    for file, (target, form) in FILES.items():
        if file in (unreadable or {}):
            problems.append(f"{file}: {(unreadable or {})[file]}")
        elif file in contents:
            values[target], problem = _parsed(file, form, contents[file])
            problems += problem
        elif file not in _OPTIONAL and not _is_unjudged(file, contents):
            problems.append(f"{file}: the run does not have this file.")
    return RunRecords(
        name=name, directory=directory, status=status, problems=tuple(problems), **values
    )


def _is_unjudged(file: str, contents: Mapping[str, Any]) -> bool:
    """Whether a run lacks an evaluation because it held no clips out to be judged on."""
    summary = contents.get("summary.json")
    num_clips = summary.get("num_clips") if isinstance(summary, Mapping) else None
    is_whole = isinstance(num_clips, Mapping) and num_clips.get("validation") == 0
    return file == "evaluation.json" and is_whole


def _parsed(what: str, form: Any, content: Any) -> tuple[Any, list[str]]:
    try:
        return pydantic.TypeAdapter(form).validate_python(content), []
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"][0].lower() + fault["msg"][1:]
        reason = f"{place}: {message}" if place else message
        return None, [f"{what}: cannot be used ({reason})."]


def _check_scores(scores: Scores) -> None:
    """Refuse scores that lack a metric or a trait: a table with holes would hide them."""
    for metric in METRICS:
        for name in ("mean", *TRAITS):
            if name not in scores.get(metric, {}):
                raise ValueError(f"has no {metric} of {name}")
