"""The tables of scores: cells of text, ready for a template."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.core.number_format import METRIC_NAMES, count, decimal, metric_value
from pipeline.core.traits import TRAITS, TraitLabel, directions
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.evaluation import EvaluationReport, Interval, Intervals
from pipeline.report.caveats import MIN_GROUPS
from pipeline.report.verdicts import ILLEGITIMATE
from pipeline.report.wording import baseline_name, difference, interval, percent, sentence


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One cell: a value, and what stands smaller beside it."""

    text: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row under its own heading."""

    heading: str
    cells: tuple[Cell, ...]
    is_key: bool = False
    """Whether the reader looks for this row first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table with headings on top and on the left."""

    caption: str
    columns: tuple[str, ...]
    """Headings, the one above the row headings first."""
    rows: tuple[Row, ...]
    note: str = ""
    """How to read it."""
    is_numeric: bool = True
    """Whether the cells are numbers, which stand flush right."""


def trait_table(evaluation: EvaluationReport, traits: Iterable[TraitLabel] = ()) -> Table:
    """Return every metric of every trait.

    Args:
        evaluation: The metrics.
        traits: How each trait is scored; a note names those that are scored in reverse.
    """
    return Table(
        caption="Each trait, and the mean over the traits",
        columns=("trait", *(_with_direction(metric) for metric in METRICS)),
        rows=tuple(
            Row(
                heading=name,
                cells=tuple(_cell(metric, evaluation.metrics[metric][name]) for metric in METRICS),
                is_key=name == "mean",
            )
            for name in (*TRAITS, "mean")
        ),
        note="Accuracy is 1 − MAE; errors are in units of the score, which runs from 0 to 1; R² is "
        "unclipped, so below 0 is worse than guessing the mean of these clips. Arrows point to "
        f"the better side. In brackets: {evaluation.interval_name}s."
        + "".join(f" {sentence(direction)}" for direction in directions(traits)),
    )


def coverage_tables(evaluation: EvaluationReport) -> tuple[Table, ...]:
    """Return how often prediction intervals held the score, where that was measured."""
    intervals = evaluation.intervals
    if intervals is None:
        return ()
    level = percent(intervals.level)
    return (
        Table(
            caption=f"Prediction intervals of {level}",
            columns=("trait", "covered", "mean width"),
            rows=tuple(
                Row(
                    heading=name,
                    cells=(
                        _cell("coverage", intervals.coverage[name]),
                        Cell(text=decimal(intervals.mean_width[name], 3)),
                    ),
                    is_key=name == "mean",
                )
                for name in (*TRAITS, "mean")
            ),
            note=f"The share of annotated scores that lie in their interval; {level} is promised "
            "for a clip of a new group, of each trait by itself. Measured on "
            f"{count(intervals.num_clips, 'clip')} of {count(intervals.num_groups, 'group')}: "
            f"{intervals.measured_on}. Every group weighs the same. In brackets: "
            f"{evaluation.interval_name}s. Widths are in units of the score.",
        ),
    )


def baseline_tables(evaluation: EvaluationReport) -> tuple[Table, ...]:
    """Return the model beside its baselines: on average in all metrics, and R² per trait."""
    if not evaluation.baselines:
        return ()
    scores = {"this model": evaluation.metrics} | {
        baseline_name(name).removeprefix("the ") + (" *" if name in ILLEGITIMATE else ""): values
        for name, values in evaluation.baselines.items()
    }
    names = ("mean", *TRAITS)
    note = (
        "The training mean knows nothing of a clip; ridge regression is linear in the features "
        "averaged over time."
    )
    if ILLEGITIMATE & evaluation.baselines.keys():
        note += (
            " * The same-group mean is no rival: it reads the annotations of the other clips of "
            "the same group, and shows what the plainest leak buys."
        )
    return (
        Table(
            caption="All metrics, on average over the traits",
            columns=("predictor", *(_with_direction(metric) for metric in METRICS)),
            rows=tuple(_mean_row(name, values) for name, values in scores.items()),
            note=note,
        ),
        Table(
            caption="R² of each trait",
            columns=("predictor", *names),
            rows=tuple(
                Row(
                    heading=predictor,
                    cells=tuple(_cell("r2", values["r2"][name]) for name in names),
                    is_key=values is evaluation.metrics,
                )
                for predictor, values in scores.items()
            ),
        ),
        *_difference_tables(evaluation),
    )


def _difference_tables(evaluation: EvaluationReport) -> tuple[Table, ...]:
    """Return the model minus each baseline that it has to beat, where that was measured."""
    rivals = {
        baseline_name(name).removeprefix("the "): scores
        for name, scores in evaluation.baseline_differences.items()
        if name not in ILLEGITIMATE
    }
    if not rivals:
        return ()
    return (
        Table(
            caption="This model minus each baseline, on average over the traits",
            columns=("baseline", *(_with_direction(metric) for metric in METRICS)),
            rows=tuple(
                Row(
                    heading=name,
                    cells=tuple(_difference_cell(metric, scores) for metric in METRICS),
                )
                for name, scores in rivals.items()
            ),
            note="Paired: model and baseline are scored on the same resampled groups. In brackets: "
            f"{evaluation.interval_name}s; one that excludes 0 shows a difference.",
        ),
    )


def subgroup_tables(evaluation: EvaluationReport) -> tuple[Table, ...]:
    """Return one table a column by which the scores were broken down."""
    return tuple(
        Table(
            caption=f"By {column}",
            columns=(column, "clips", "groups", *(_with_direction(metric) for metric in METRICS)),
            rows=tuple(
                Row(
                    heading=value,
                    cells=(
                        Cell(text=count(subgroup.num_clips)),
                        Cell(text=count(subgroup.num_groups)),
                        *_mean_row("", subgroup.metrics).cells,
                    ),
                )
                for value, subgroup in subgroups.items()
            ),
            note=_few_groups_note([part.num_groups for part in subgroups.values()]),
        )
        for column, subgroups in evaluation.by.items()
    )


def _mean_row(heading: str, scores: Intervals) -> Row:
    cells = tuple(_cell(metric, scores[metric]["mean"]) for metric in METRICS)
    return Row(heading=heading, cells=cells, is_key=heading == "this model")


def _cell(metric: str, estimate: Interval) -> Cell:
    return Cell(text=metric_value(metric, estimate.value), detail=interval(metric, estimate))


def _difference_cell(metric: str, scores: Intervals) -> Cell:
    text, detail = difference(metric, scores[metric]["mean"])
    return Cell(text=text, detail=detail)


def _with_direction(metric: str) -> str:
    return f"{METRIC_NAMES[metric]} {'↑' if HIGHER_IS_BETTER[metric] else '↓'}"


def _few_groups_note(sizes: Sequence[int]) -> str:
    if all(size >= MIN_GROUPS for size in sizes):
        return ""
    return f"Intervals over fewer than {MIN_GROUPS} groups are narrower than they claim to be."
