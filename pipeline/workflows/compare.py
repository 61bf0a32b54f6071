"""Compare two runs by the predictions that they have written, and draw them side by side."""

from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.evaluation.comparison import Comparison, compare_predictions
from pipeline.evaluation.report import build_report
from pipeline.figures.base.spec import Unavailable
from pipeline.figures.gallery import Gallery, comparison_figures, draw_gallery
from pipeline.records.evaluation import EvaluationReport
from pipeline.records.manifest import check_files
from pipeline.records.metrics_history import HISTORY_FILE, MetricsHistory, read_history
from pipeline.records.predictions import Predictions, read_predictions


def compare_runs(run_a: Path, run_b: Path, *, split: str) -> Comparison:
    """Compare two runs on the clips of a split, paired and by whole groups.

    Raises:
        RunError: If a run has no predictions of the split, or they are of other clips.
    """
    if run_a.resolve() == run_b.resolve():
        raise RunError(f"{run_a}: is one run, given twice. Give two runs to compare.")
    name_a, name_b = run_a.resolve().name, run_b.resolve().name
    if name_a == name_b:
        name_a, name_b = str(run_a), str(run_b)
    return compare_predictions(
        _predictions(run_a, split), _predictions(run_b, split), names=(name_a, name_b)
    )


def draw_comparison(
    comparison: Comparison, run_a: Path, run_b: Path, *, split: str, output_dir: Path
) -> Gallery:
    """Draw differences, scores and loss curves of two runs into `output_dir/comparison`."""
    inputs: dict[str, Any] = {"comparison": comparison.to_json()}
    for letter, path in (("a", run_a), ("b", run_b)):
        run = open_run_directory(path)
        inputs[f"history_{letter}"] = _history(run)
        inputs[f"evaluation_{letter}"] = _evaluate(path, comparison, split)
    return draw_gallery(comparison_figures(), inputs, output_dir)


def _evaluate(run_dir: Path, comparison: Comparison, split: str) -> EvaluationReport:
    """Score the compared split: a run keeps only its latest evaluation, of any split."""
    return build_report(
        _predictions(run_dir, split),
        {},
        split=split,
        num_resamples=comparison.num_resamples,
        confidence=comparison.confidence,
        seed=0,
    )


def _history(run: RunDirectory) -> MetricsHistory | Unavailable | None:
    path = run.path / HISTORY_FILE
    if not path.exists():
        return None
    try:
        check_files(run, path)
        return read_history(path)
    except PipelineError as error:
        return Unavailable(reason=str(error))


def _predictions(run_dir: Path, split: str) -> Predictions:
    run = open_run_directory(run_dir)
    path = run.predictions_path(split)
    if not path.exists():
        raise RunError(
            f"{path}: there are no predictions of the split {split} yet. Make them with "
            f"`python -m pipeline evaluate --run_dir {run_dir} --split {split}`."
        )
    check_files(run, path)
    return read_predictions(path)
