"""Figures and reports for complete and damaged runs, and figures for searches."""

import json
import shutil

import pytest
from PIL import Image

from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.gallery import DEFAULT_FIGURES, figure_specs
from pipeline.report.images import FIGURE_FOLDERS
from tests.search.search_studies import synthetic_study

pytestmark = pytest.mark.slow

FIGURES = (
    *("training_dashboard", "train_val_loss", "trait_comparison", "predictions_vs_truth"),
    *("calibration", "trait_attention", "batch_time_analysis", "training_time_dashboard"),
)
"""At least one figure per figure directory and per file of a run."""

LOGS = (
    "batch_metrics/metrics_history.json",
    "time_tracking/time_logs.json",
    "lr_tracking/lr_logs.json",
)


@pytest.fixture
def few_figures(monkeypatch):
    """Reduce the number of figures to save time."""
    specs = {name: figure_specs()[name] for name in FIGURES}
    monkeypatch.setattr("pipeline.workflows.visualize.figure_specs", lambda _: specs)
    monkeypatch.setattr("pipeline.figures.gallery.DEFAULT_FIGURES", frozenset(FIGURES))


@pytest.fixture
def copy(visualized, few_figures, tmp_path):
    """A copy of the run without figures."""
    path = tmp_path / "copy"
    shutil.copytree(visualized.path, path, ignore=shutil.ignore_patterns(*FIGURE_FOLDERS))
    return RunDirectory(path)


def images(run_dir):
    """Return the names of all images without suffix."""
    return {path.stem for folder in FIGURE_FOLDERS for path in (run_dir / folder).glob("*.png")}


def test_training_draws_the_default_figures_writes_a_report_and_logs_the_times(visualized):
    assert images(visualized.path) == DEFAULT_FIGURES
    assert visualized.report_path.read_text().count("<img") == len(DEFAULT_FIGURES)
    seconds = json.loads((visualized.time_dir / "time_logs.json").read_text())["breakdown"]
    assert {"step", "validation", "callbacks", "checkpoint", "logging", "figures"} <= set(seconds)
    assert all(each >= 0 for each in seconds.values())


@pytest.mark.parametrize(
    ("formats", "expected"),
    [("svg,pdf", {".svg", ".pdf"}), ("pdf", {".pdf", ".png"})],  # browsers need an image
)
def test_other_image_formats_do_not_remove_figures_from_the_report(
    run_here, copy, tmp_path, formats, expected
):
    options = ("--format", formats, "--style", "paper")
    result = run_here("visualize", "--run_dir", copy.path, *options, cwd=tmp_path)
    assert result.status == 0, result
    assert {path.suffix for path in (copy.path / FIGURE_FOLDERS[0]).iterdir()} == expected
    assert copy.report_path.read_text().count("<img") == len(FIGURES)


def test_all_figures_are_drawn_on_request(run_here, copy, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.figures.gallery.DEFAULT_FIGURES", frozenset(FIGURES[:2]))
    for options, expected in (((), set(FIGURES[:2])), (("--all",), set(FIGURES))):
        assert run_here("visualize", "--run_dir", copy.path, *options, cwd=tmp_path).status == 0
        assert images(copy.path) == expected


def described_clips(run):
    """Return the alternative text of the figure of the predictions."""
    with Image.open(run.path / "training_visualizations" / "predictions_vs_truth.png") as image:
        return image.text["Description"]


def test_an_evaluation_writes_the_report_again_with_both_splits(
    run_here, copy, tmp_path, monkeypatch
):
    # Without this change, the copy would replace the artifacts of the run in MLflow.
    monkeypatch.setattr("pipeline.tracking.mirror.deliver_rest", lambda _: None)
    before = json.loads(copy.evaluation_path.read_text())
    evaluated = run_here("evaluate", "--run_dir", copy.path, "--split", "all", cwd=tmp_path)
    assert evaluated.status == 0, evaluated
    report = copy.report_path.read_text()
    assert "all 240 clips" in described_clips(copy)
    assert '<th scope="row">all clips</th>' in report
    assert '<th scope="row">validation clips</th>' in report
    kept = json.loads(copy.earlier_evaluation_path("validation").read_text())
    assert kept == before
    assert "report.html" in copy.run_log_path.read_text().splitlines()[-1]

    assert run_here("visualize", "--run_dir", copy.path, cwd=tmp_path).status == 0
    assert "validation clips" in described_clips(copy)
    result = run_here("visualize", "--run_dir", copy.path, "--split", "test", cwd=tmp_path)
    assert result.status == 2
    assert "no evaluation of the split test" in result.err


def cut_the_logs(run):
    for log in LOGS:
        path = run.path / log
        content = path.read_text()
        path.write_text(content[: len(content) // 2])


def remove_the_history(run):
    shutil.rmtree(run.metrics_dir)
    run.run_log_path.unlink()


def remove_the_results(run):
    for name in ("model.keras", "evaluation.json", "attention.npz", "summary.json", "report.html"):
        (run.path / name).unlink()
    shutil.rmtree(run.path / "predictions")


DAMAGES = {
    "cut logs are read from the run log": (cut_the_logs, LOGS, set(FIGURES), set()),
    "an evaluation that is not a mapping": (
        lambda run: run.evaluation_path.write_text("[]"),
        ("missing: evaluation.json: ",),
        {"predictions_vs_truth"},
        set(),
    ),
    "no metrics and no run log": (
        remove_the_history,
        ("metrics_history.json",),
        {"calibration", "trait_attention", "batch_time_analysis"},
        {"train_val_loss"},
    ),
    "a configuration that is cut": (
        lambda run: run.config_path.write_text("name: cut\n"),
        ("config.yaml",),
        {"train_val_loss"},
        set(),
    ),
    "a configuration that is not text": (
        lambda run: run.config_path.write_bytes(b"name: \xff\xfe"),
        ("config.yaml",),
        {"train_val_loss"},
        set(),
    ),
    "a run without results": (
        remove_the_results,
        ("evaluation.json",),
        {"training_dashboard", "trait_comparison"},
        {"predictions_vs_truth"},
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_file_affects_only_its_own_figures(run_here, copy, tmp_path, case):
    damage, names, drawn, not_drawn = DAMAGES[case]
    damage(copy)
    result = run_here("visualize", "--run_dir", copy.path, cwd=tmp_path)
    assert result.status == 3
    assert all(name in result.out for name in names)
    assert drawn <= images(copy.path)
    assert not not_drawn & images(copy.path)
    assert copy.report_path.exists()


def test_a_run_in_mlflow_is_drawn_from_its_artifacts(run_here, visualized, workspace, few_figures):
    run_id = json.loads(visualized.tracking_path.read_text())["run_id"]
    result = run_here("visualize", "--run_id", run_id, cwd=workspace)
    assert result.status == 0, result
    assert set(FIGURES) <= images(workspace / "results" / run_id)


def test_a_search_is_drawn_from_its_study_file(run_here, tmp_path):
    write_json(RunDirectory(tmp_path).study_path, synthetic_study(12))
    result = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert result.status == 0, result
    assert "not drawn: pareto_front: needs two objectives" in result.out
    assert "8 figures drawn" in result.out
    assert "report" not in result.out
    assert len(list((tmp_path / "search_visualizations").glob("*.png"))) == 8
    assert f"interactive figures: {tmp_path}/search_visualizations/search.html" in result.out


def test_a_search_and_a_run_in_one_directory_are_both_drawn(run_here, tmp_path):
    run = RunDirectory(tmp_path)
    write_json(run.study_path, synthetic_study(1))
    write_json(run.metrics_dir / "metrics_history.json", {"epoch": {"epoch_numbers": []}})
    result = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert "interactive figures: " in result.out
    assert "report: " in result.out


def test_a_damaged_study_file_is_reported(run_here, tmp_path):
    study = RunDirectory(tmp_path).study_path
    write_json(study, synthetic_study(12) | {"trials": 3})
    result = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert result.status == 3
    assert f"missing: {study}: " in result.out
