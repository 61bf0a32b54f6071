"""Print the scores of a model in a few lines: against the baselines, and with their caveats."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.commands.tables import print_line
from pipeline.core.number_format import METRIC_NAMES, count, metric_value, percent
from pipeline.core.traits import describe_ranges
from pipeline.report.headline import HEADLINE_METRICS, headline
from pipeline.report.wording import display_name, with_interval

if TYPE_CHECKING:
    from pipeline.core.run_directory import RunDirectory
    from pipeline.records.evaluation import EvaluationReport, Interval

_REFERENCE = "ridge"


def print_headline(
    report: "EvaluationReport", *, is_ridge: bool = False, best_r2: float | None = None
) -> None:
    """Print the mean scores with intervals, the scores of ridge regression, and the comparison.

    If `is_ridge` is true, the scores of the model are those of ridge regression. `best_r2` is the
    best possible R² of the data; None if it is unknown.
    """
    clips = f"{count(report.num_clips, 'clip')} of {count(report.num_groups, 'group')}"
    print_line(f"{report.split}: {clips}; means over the traits, 95 % intervals in brackets")
    rows = []
    for metric in HEADLINE_METRICS:
        notes = []
        if _REFERENCE in report.baselines:
            score = report.baselines[_REFERENCE][metric]["mean"]
            notes.append(f"{display_name(_REFERENCE)} {metric_value(metric, score.value)}")
        if metric == "r2" and best_r2 is not None:
            share = percent(report.metrics[metric]["mean"].value / best_r2)
            notes.append(f"best possible {metric_value(metric, best_r2)} ({share} reached)")
        rows.append((METRIC_NAMES[metric], _score(metric, report.metrics[metric]["mean"]), notes))
    units = report.original_units
    if units is not None and "mean" in units.mae:
        scale = f"on the original scale: {describe_ranges(units.label_ranges)}"
        rows.append((METRIC_NAMES["mae"], _score("mae", units.mae["mean"]), [scale]))
    for name, score_text, notes in rows:
        print_line(f"  {name:<9} {score_text:<24}  {', '.join(notes)}".rstrip())
    _print_coverage(report)
    print_line(f"{headline(report, is_ridge=is_ridge)}.")


def print_caveats(run: "RunDirectory") -> None:
    """Print the titles of the caveats of a run, except the comparison with the baselines."""
    from pipeline.report.caveats import find_caveats
    from pipeline.report.loading import load_records

    records = load_records(run, status="FINISHED")
    if records.evaluation is not None:
        # The headline contains this comparison.
        evaluation = dataclasses.replace(records.evaluation, baselines={}, baseline_differences={})
        records = dataclasses.replace(records, evaluation=evaluation)
    _print_list("what to distrust", (caveat.title for caveat in find_caveats(records)))


def _print_coverage(report: "EvaluationReport") -> None:
    from pipeline.records.calibration import LEVEL, min_groups

    intervals = report.intervals
    if intervals is None:
        print_line(
            f"  {percent(LEVEL)} prediction intervals: their coverage was not measured, because "
            f"this needs {2 * min_groups(LEVEL)} groups without training clips"
        )
        return
    covered = percent(intervals.coverage["mean"].value)
    print_line(
        f"  {percent(intervals.level)} prediction intervals contain {covered} of the scores; mean "
        f"width {intervals.mean_width['mean']:.2f}"
    )


def _print_list(title: str, texts: Iterable[str]) -> None:
    if text := "; ".join(texts):
        print_line(f"{title}: {text}")


def _score(metric: str, score: "Interval") -> str:
    # Terminals and log files can show a no-break space as another character.
    return with_interval(metric, score).replace("\N{NO-BREAK SPACE}", " ")
