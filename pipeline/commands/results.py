"""Print the result of a training or an evaluation in a few lines.

The scores stand beside those of the baselines, and the caveats follow.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.tables import (
    print_directions,
    print_layers,
    print_line,
    print_scores,
    print_subgroups,
)
from pipeline.core.number_format import METRIC_NAMES, count, metric_value, percent
from pipeline.core.traits import describe_ranges
from pipeline.records.summary import RIDGE_NOTE
from pipeline.report.headline import HEADLINE_METRICS, headline
from pipeline.report.wording import display_name, with_interval

if TYPE_CHECKING:
    from pipeline.core.run_directory import RunDirectory
    from pipeline.records.evaluation import EvaluationReport, Interval
    from pipeline.workflows.evaluate import Evaluation
    from pipeline.workflows.train import TrainingRun

_REFERENCE = "ridge"


def print_training(
    finished: "TrainingRun", output: Path | None = None, *, is_verbose: bool = False
) -> None:
    """Print the result of a training run and the paths of the model.

    If `is_verbose` is true, also print tables with the scores of each trait.
    """
    if finished.report is not None and is_verbose:
        print_scores(finished.report)
        print_subgroups(finished.report)
    _print_overlap(finished.group_overlap, is_verbose=is_verbose)
    print_layers(finished.layers, is_verbose=is_verbose)
    print_directions(finished.traits)
    is_ridge = bool(getattr(finished.network, "is_linear", False))
    if is_ridge:
        print_line(f"note: {RIDGE_NOTE}")
    if finished.report is not None:
        print_headline(
            finished.report, is_ridge=is_ridge, best_r2=_best_r2(finished.run, finished.report)
        )
    print_caveats(finished.run)
    print_line(f"run: {finished.run.path}")
    for path in filter(None, (finished.run.model_path, output)):
        print_line(f"model: {path}")


def print_evaluation(
    evaluation: "Evaluation", *, is_verbose: bool = False, shows_subgroups: bool = False
) -> None:
    """Print an evaluation and its warnings, and optionally tables for traits and subgroups."""
    report = evaluation.report
    if is_verbose:
        print_scores(report)
    if is_verbose or shows_subgroups:
        print_subgroups(report)
    print_directions(evaluation.traits)
    if report.split != "all" or is_verbose:
        _print_overlap(report.group_overlap, is_verbose=is_verbose)
    print_headline(report, is_ridge=evaluation.is_ridge)
    if evaluation.num_training_clips:
        print_line(
            f"warning: the model was trained on {evaluation.num_training_clips} of these "
            f"{report.num_clips} clips; expect worse metrics on new clips."
        )
    print_line(f"evaluation: {evaluation.report_path}")
    if evaluation.undelivered:
        print_line(f"warning: the evaluation is not in MLflow yet ({evaluation.undelivered}).")


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
            share = max(0.0, report.metrics[metric]["mean"].value / best_r2)
            best = metric_value(metric, best_r2)
            notes.append(f"best possible {best} ({percent(share)} reached)")
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
    if titles := [caveat.title for caveat in find_caveats(records)]:
        print_line(f"what to distrust: {'; '.join(titles)}")


def _print_overlap(overlaps: Mapping[str, Mapping[str, float]], *, is_verbose: bool) -> None:
    """Print each pair of subsets with shared groups, and the other pairs too if verbose."""
    for pair, overlap in overlaps.items():
        first, _, second = pair.partition("/")
        if overlap["shared_groups"] or is_verbose:
            print_line(
                f"groups in both {first} and {second} clips: {overlap['shared_groups']} "
                f"({percent(overlap['shared_clips'])} of the {second} clips)"
            )


def _best_r2(run: "RunDirectory", report: "EvaluationReport") -> float | None:
    """Return the best possible R² on the scored clips of the built-in data set, else None."""
    from pipeline.config.loading import load_config
    from pipeline.data.synthetic import best_possible_r2
    from pipeline.records.predictions import read_predictions

    synthetic = load_config(run.config_path).data.synthetic
    if synthetic is None:
        return None
    predictions = read_predictions(run.predictions_path(report.split))
    return best_possible_r2(synthetic, [str(clip_id) for clip_id in predictions.clip_ids])


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


def _score(metric: str, score: "Interval") -> str:
    # Terminals and log files can show a no-break space as another character.
    return with_interval(metric, score).replace("\N{NO-BREAK SPACE}", " ")
