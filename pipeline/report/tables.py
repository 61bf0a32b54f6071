"""Tables of a report: scores, times, settings and versions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.config.loading import flatten
from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_NAMES, count, decimal, metric_value
from pipeline.core.traits import describe_ranges, describe_scores
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.evaluation import EvaluationReport, Interval, Intervals
from pipeline.records.time_logs import PART_NAMES, TimeLogs
from pipeline.report.caveats import MIN_GROUPS
from pipeline.report.headline import ILLEGITIMATE
from pipeline.report.loading import RunRecords
from pipeline.report.wording import (
    capitalized,
    difference,
    display_name,
    duration,
    format_value,
    interval,
    percent,
)

_METRIC_COLUMNS: Final = tuple(
    f"{METRIC_NAMES[metric]} {'↑' if HIGHER_IS_BETTER[metric] else '↓'}" for metric in METRICS
)


class Cell(NamedTuple):
    """Text of a cell, and smaller text next to it."""

    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Table with a header row and a header column."""

    caption: str
    columns: tuple[str, ...]
    """Column headings. The first column contains the row headings."""
    rows: Mapping[str, Sequence[Cell]]
    """Row heading -> cells."""
    keys: Collection[str] = ()
    """Headings of the emphasized rows."""
    note: str = ""
    """Text below the table."""
    is_numeric: bool = True
    """True if the cells contain numbers. Numbers are aligned to the right."""


def score_tables(records: RunRecords) -> tuple[Table, ...]:
    """Build the tables of metrics per trait, errors in original units, and prediction intervals."""
    evaluation = records.evaluation
    if evaluation is None:
        return ()
    traits = records.features.traits if records.features is not None else ()
    notes = (
        "Accuracy is 1 − MAE.",
        "MAE is in score units (scores are between 0 and 1), MSE is in squared score units.",
        "R² is not clipped. If it is below 0, predicting the mean of these clips is better.",
        "Arrows show the better direction.",
        f"Brackets: {evaluation.interval_name}s.",
        *describe_scores(traits),
    )
    scores = Table(
        "Scores per trait, and their mean",
        ("trait", *_METRIC_COLUMNS),
        {
            name: _metric_cells(evaluation.metrics, name)
            for name in (*evaluation.trait_names, "mean")
        },
        keys=("mean",),
        note=" ".join(notes),
    )
    return scores, *_original_unit_tables(evaluation), *_coverage_tables(evaluation)


def split_tables(records: RunRecords) -> tuple[Table, ...]:
    """Build the table of the scores on each evaluated split, averaged over the traits."""
    if records.evaluation is None or not records.other_evaluations:
        return ()
    evaluations = (records.evaluation, *records.other_evaluations)
    rows = {
        f"{evaluation.split} clips": (
            Cell(count(evaluation.num_clips)),
            Cell(count(evaluation.num_groups)),
            *_metric_cells(evaluation.metrics),
        )
        for evaluation in evaluations
    }
    columns = ("scores on the", "clips", "groups", *_METRIC_COLUMNS)
    shown = f"{records.evaluation.split} clips"
    note = (
        f"All other scores and the figures of the predictions in this report are from the {shown}. "
        f"Brackets: {records.evaluation.interval_name}s."
    )
    caption = "Scores on each evaluated split, averaged over the traits"
    return (Table(caption, columns, rows, keys=(shown,), note=note),)


def _original_unit_tables(evaluation: EvaluationReport) -> tuple[Table, ...]:
    units = evaluation.original_units
    if units is None:
        return ()
    rows: dict[str, list[Cell]] = {
        name: [_cell("mae", errors[name]) for errors in units.errors.values()]
        for name in (*evaluation.trait_names, "mean")
        if name in units.mae
    }
    scale = describe_ranges(units.label_ranges)
    notes = [f"Scale of the annotations: {scale}.", f"Brackets: {evaluation.interval_name}s."]
    if "mean" not in rows:
        notes.append("There is no mean, because the traits have different scales.")
    columns = ("trait", *(f"{metric.upper()} ↓" for metric in units.errors))
    caption = "Errors in the units of the annotations"
    return (Table(caption, columns, rows, keys=("mean",), note=" ".join(notes)),)


def _coverage_tables(evaluation: EvaluationReport) -> tuple[Table, ...]:
    intervals = evaluation.intervals
    if intervals is None:
        return ()
    level = percent(intervals.level)
    clips, groups = count(intervals.num_clips, "clip"), count(intervals.num_groups, "group")
    notes = (
        "Coverage is the share of annotated scores inside their interval.",
        f"The nominal coverage is {level} for a clip from a new group, for each trait separately.",
        f"Measured on {clips} from {groups}: {intervals.measured_on}.",
        "Every group has the same weight.",
        f"Brackets: {evaluation.interval_name}s.",
        "Widths are in score units.",
    )
    rows = {
        name: (
            _cell("coverage", intervals.coverage[name]),
            Cell(decimal(intervals.mean_width[name], 3)),
        )
        for name in (*evaluation.trait_names, "mean")
    }
    columns = ("trait", "coverage", "mean width")
    caption = f"Prediction intervals of {level}"
    return (Table(caption, columns, rows, keys=("mean",), note=" ".join(notes)),)


def stream_tables(evaluation: EvaluationReport | None) -> tuple[Table, ...]:
    """Build the table of the metrics without each stream, averaged over the traits."""
    if evaluation is None or not evaluation.without_stream:
        return ()
    rows: dict[str, list[Cell]] = {
        "all streams": [_cell(metric, evaluation.metrics[metric]["mean"]) for metric in METRICS]
    }
    for name, values in evaluation.without_stream.items():
        rows[f"without {name}"] = [
            Cell(
                metric_value(
                    metric, evaluation.metrics[metric]["mean"].value - values[metric]["mean"].value
                )
            )
            for metric in METRICS
        ]
        rows[f"gain from {name}"] = [
            Cell(*difference(metric, values[metric]["mean"])) for metric in METRICS
        ]
    note = (
        "The trained model is applied to the same clips without one stream: the stream is absent, "
        "or each step is the mean of the training clips. The gain is the difference to all "
        f"streams, on the same resampled groups. Brackets: {evaluation.interval_name}s. A model "
        "that was trained without the stream may be better than this model without it."
    )
    return (
        Table(
            "Scores with and without each stream, averaged over the traits",
            ("streams", *_METRIC_COLUMNS),
            rows,
            keys=("all streams",),
            note=note,
        ),
    )


def baseline_tables(evaluation: EvaluationReport | None) -> tuple[Table, ...]:
    """Build the baseline tables: metrics averaged over traits, R² per trait, paired differences."""
    if evaluation is None or not evaluation.baselines:
        return ()
    scores = {"this model": evaluation.metrics} | {
        _heading(name) + (" *" if name in ILLEGITIMATE else ""): values
        for name, values in evaluation.baselines.items()
    }
    differences = {
        _heading(name): [Cell(*difference(metric, values[metric]["mean"])) for metric in METRICS]
        for name, values in evaluation.baseline_differences.items()
        if name not in ILLEGITIMATE
    }
    note = (
        "The training mean predicts the same scores for every clip. Ridge regression is linear "
        "in the features averaged over time."
    )
    if ILLEGITIMATE & evaluation.baselines.keys():
        note += (
            " * The same-group mean is not a competitor. It uses the annotations of the other "
            "clips from the same group, and shows the score that the simplest group leak alone "
            "would give."
        )
    names = ("mean", *evaluation.trait_names)
    tables = (
        Table(
            "All metrics, averaged over the traits",
            ("predictor", *_METRIC_COLUMNS),
            {name: _metric_cells(values) for name, values in scores.items()},
            keys=("this model",),
            note=note,
        ),
        Table(
            "R² per trait",
            ("predictor", *names),
            {
                predictor: [_cell("r2", values["r2"][name]) for name in names]
                for predictor, values in scores.items()
            },
            keys=("this model",),
        ),
        Table(
            "This model minus each baseline, averaged over the traits",
            ("baseline", *_METRIC_COLUMNS),
            differences,
            note="Paired: model and baseline are scored on the same resampled groups. Brackets: "
            f"{evaluation.interval_name}s. An interval that excludes 0 shows a difference.",
        ),
    )
    return tuple(table for table in tables if table.rows)


def subgroup_tables(evaluation: EvaluationReport | None) -> tuple[Table, ...]:
    """Build one table for each column of the clip table that defines subgroups."""
    tables = []
    for column, subgroups in (evaluation.by if evaluation is not None else {}).items():
        rows = {
            value: (
                Cell(count(subgroup.num_clips)),
                Cell(count(subgroup.num_groups)),
                *_metric_cells(subgroup.metrics),
            )
            for value, subgroup in subgroups.items()
        }
        is_small = any(subgroup.num_groups < MIN_GROUPS for subgroup in subgroups.values())
        note = f"Intervals from fewer than {MIN_GROUPS} groups are too narrow." if is_small else ""
        columns = (column, "clips", "groups", *_METRIC_COLUMNS)
        tables.append(Table(f"By {column}", columns, rows, note=note))
    return tuple(tables)


def _heading(baseline: str) -> str:
    return display_name(baseline).removeprefix("the ")


def _metric_cells(scores: Intervals, name: str = "mean") -> list[Cell]:
    return [_cell(metric, scores[metric][name]) for metric in METRICS]


def _cell(metric: str, estimate: Interval) -> Cell:
    return Cell(metric_value(metric, estimate.value), interval(metric, estimate))


def time_tables(times: TimeLogs | None) -> tuple[Table, ...]:
    """Build two tables: the measured times, and the parts of the run."""
    if times is None:
        return ()
    total, validation = times.total_training_time, times.validation_times
    measured: dict[str, FloatArray] = {
        "all epochs, validation included": np.array([] if total is None else [total]),
        "training part of the first epoch, start-up included": times.epoch_times[:1],
        "training part of a later epoch": times.epoch_times[1:],
        "validation of an epoch": validation if validation.any() else validation[:0],
        "training step": times.batch_times,
        "wait before a step": times.batch_wait_times,
    }
    rows = {
        name: (
            Cell(duration(float(np.median(seconds)))),
            Cell(duration(float(np.percentile(seconds, 95))) if len(seconds) > 1 else ""),
        )
        for name, seconds in measured.items()
        if len(seconds)
    }
    total_seconds = sum(times.breakdown.values())
    shares = {
        capitalized(PART_NAMES.get(name, name.replace("_", " "))): (
            Cell(duration(seconds)),
            Cell(percent(seconds / total_seconds)),
        )
        for name, seconds in sorted(times.breakdown.items(), key=lambda part: -part[1])
        if seconds
    }
    tables = (
        Table("Measured times", ("", "time or median", "95th percentile"), rows),
        Table("Parts of the run", ("part", "time", "share"), shares),
    )
    return tuple(table for table in tables if table.rows)


def config_tables(config: ExperimentConfig | None) -> tuple[Table, ...]:
    """Build the table of all settings. The row of a changed setting also contains the default."""
    if config is None:
        return ()
    defaults = {name: format_value(value) for name, value in flatten(ExperimentConfig()).items()}
    values = {name: format_value(value) for name, value in flatten(config).items()}
    changed = {
        name: default
        for name, text in values.items()
        if (default := defaults.get(name, format_value(None))) != text
    }
    rows = {name: (Cell(text), Cell(changed.get(name, ""))) for name, text in values.items()}
    columns = ("setting", "value", "default, if different")
    return (Table("Settings", columns, rows, keys=changed, is_numeric=False),)


def environment_tables(records: RunRecords) -> tuple[Table, ...]:
    """Build the table that describes the code, the versions, the machine and the features."""
    environment = records.environment
    if environment is None:
        return ()
    git = environment.git
    state = {None: "", True: ", with uncommitted changes", False: ", unchanged"}[git.is_dirty]
    values: dict[str, Any] = {
        "commit": f"{git.commit}{state}" if git.commit else None,
        "Python": environment.python,
        **environment.packages,
        "platform": environment.platform,
        "CPUs": environment.num_cpus,
        "device": environment.device,
        "hash of the features": records.features.digest if records.features else None,
    }
    rows = {name: [Cell(format_value(value))] for name, value in values.items()}
    return (Table("Code, versions and machine", ("", "value"), rows, is_numeric=False),)
