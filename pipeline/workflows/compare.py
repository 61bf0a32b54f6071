"""Compare the models of two runs on stored predictions, and draw figures."""

from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.evaluation.comparison import Comparison, compare_predictions
from pipeline.evaluation.report import build_report
from pipeline.figures.base.spec import Unavailable
from pipeline.figures.gallery import Gallery, comparison_figures, draw_gallery
from pipeline.records.manifest import check_files
from pipeline.records.metrics_history import HISTORY_FILE, MetricsHistory, read_history
from pipeline.records.predictions import Predictions, read_predictions


def compare_runs(run_a: Path, run_b: Path, *, split: str) -> Comparison:
    """Compare the models of two runs on the same clips of a split.

    Raises:
        RunError: If a run has no predictions for the split, or the runs have different clips.
    """
    if run_a.resolve() == run_b.resolve():
        raise RunError(f"{run_a}: both arguments are this run. Give two different runs.")
    names = (run_a.resolve().name, run_b.resolve().name)
    if names[0] == names[1]:
        names = (str(run_a), str(run_b))
    return compare_predictions(_predictions(run_a, split), _predictions(run_b, split), names=names)


def draw_comparison(
    comparison: Comparison, run_a: Path, run_b: Path, *, split: str, output_dir: Path
) -> Gallery:
    """Draw figures into `output_dir/comparison`: metric differences, metrics, training curves."""
    inputs: dict[str, Any] = {"comparison": comparison.to_json()}
    for letter, path in (("a", run_a), ("b", run_b)):
        inputs[f"history_{letter}"] = _history(open_run_directory(path))
        # `evaluation.json` may describe another split, so the report is built here.
        inputs[f"evaluation_{letter}"] = build_report(
            _predictions(path, split),
            {},
            split=split,
            num_resamples=comparison.num_resamples,
            seed=0,
        )
    return draw_gallery(comparison_figures(), inputs, output_dir)


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
            f"{path}: there are no predictions for the split {split} yet. Create the file with "
            f"`python -m pipeline evaluate --run_dir {run_dir} --split {split}`."
        )
    check_files(run, path)
    return read_predictions(path)
