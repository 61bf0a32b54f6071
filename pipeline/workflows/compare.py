"""Compare the models of runs on stored predictions, and draw figures."""

from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.evaluation.comparison import NUM_RESAMPLES, Comparison, compare_predictions
from pipeline.evaluation.intervals.bootstrap import CONFIDENCE
from pipeline.evaluation.report import build_report
from pipeline.figures.base.spec import Unavailable
from pipeline.figures.gallery import (
    Gallery,
    comparison_figures,
    draw_gallery,
    several_run_figures,
)
from pipeline.records.manifest import check_files
from pipeline.records.metrics_history import HISTORY_FILE, MetricsHistory, read_history
from pipeline.records.predictions import Predictions, read_predictions


def compare_runs(
    run_a: Path,
    run_b: Path,
    *,
    split: str,
    labels: tuple[str, str] = ("A", "B"),
    num_comparisons: int = 1,
) -> Comparison:
    """Compare the models of two runs on the same clips of a split.

    `labels` are the short names of the runs in the verdicts. The comparison can be one of
    `num_comparisons`. Then its intervals are wider, so that all intervals of a metric hold
    together with 95 % confidence.

    Raises:
        RunError: If a run has no predictions for the split, or the runs have different clips.

    Reference: Dunn, 1961 (doi:10.1080/01621459.1961.10482090), the Bonferroni correction.
    """
    if run_a.resolve() == run_b.resolve():
        raise RunError(f"{run_a}: this run is given twice. Give different runs.")
    names = (run_a.resolve().name, run_b.resolve().name)
    if names[0] == names[1]:
        names = (str(run_a), str(run_b))
    return compare_predictions(
        read_run_predictions(run_a, split),
        read_run_predictions(run_b, split),
        names=names,
        labels=labels,
        split=split,
        confidence=1 - (1 - CONFIDENCE) / num_comparisons,
        # The limits of a wider interval need more resamples for the same precision.
        num_resamples=NUM_RESAMPLES * num_comparisons,
    )


def compare_with_first(run_dirs: Sequence[Path], *, split: str) -> tuple[Comparison, ...]:
    """Compare each run with the first run, on the same clips of a split.

    The runs have the labels A, B, C and so on.

    Raises:
        RunError: If there are more than 26 runs, or two runs cannot be compared.
    """
    if len(run_dirs) > len(ascii_uppercase):
        raise RunError(f"{len(run_dirs)} runs are given, but at most 26 can be compared.")
    first, *others = run_dirs
    return tuple(
        compare_runs(first, other, split=split, labels=("A", label), num_comparisons=len(others))
        for label, other in zip(ascii_uppercase[1:], others, strict=False)
    )


def draw_comparison(
    comparison: Comparison, run_a: Path, run_b: Path, *, split: str, output_dir: Path
) -> Gallery:
    """Draw figures into `output_dir/comparison`: metric differences, metrics, training curves."""
    inputs: dict[str, Any] = {"comparison": comparison.to_json()}
    for letter, path in (("a", run_a), ("b", run_b)):
        inputs[f"history_{letter}"] = _history(open_run_directory(path))
        # `evaluation.json` may describe another split, so the report is built here.
        inputs[f"evaluation_{letter}"] = build_report(
            read_run_predictions(path, split),
            {},
            split=split,
            num_resamples=comparison.num_resamples,
            seed=0,
        )
    return draw_gallery(comparison_figures(), inputs, output_dir)


def draw_differences(comparisons: Sequence[Comparison], *, output_dir: Path) -> Gallery:
    """Draw the differences of several runs from the first into `output_dir/comparison`."""
    inputs = {"comparisons": [comparison.to_json() for comparison in comparisons]}
    return draw_gallery(several_run_figures(), inputs, output_dir)


def _history(run: RunDirectory) -> MetricsHistory | Unavailable | None:
    path = run.path / HISTORY_FILE
    if not path.exists():
        return None
    try:
        check_files(run, path)
        return read_history(path)
    except PipelineError as error:
        return Unavailable(reason=str(error))


def read_run_predictions(run_dir: Path, split: str) -> Predictions:
    """Read the predictions of a run for the clips of a split.

    Raises:
        RunError: If the file is missing or damaged.
    """
    run = open_run_directory(run_dir)
    path = run.predictions_path(split)
    if not path.exists():
        raise RunError(
            f"{path}: there are no predictions for the split {split} yet. Create the file with "
            f"`python -m pipeline evaluate --run_dir {run_dir} --split {split}`."
        )
    check_files(run, path)
    return read_predictions(path)
