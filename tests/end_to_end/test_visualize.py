import json
import shutil
from pathlib import Path

import pytest

from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.workflows.visualize import FIGURE_FOLDERS, figure_specs
from tests.search.search_studies import synthetic_study

pytestmark = pytest.mark.slow

FROM_THE_MODEL = ("model.keras", "evaluation.json", "attention.npz", "summary.json", "report.html")

FEW = (
    *("training_dashboard", "train_val_loss", "trait_comparison", "predictions_vs_truth"),
    *("calibration", "trait_attention", "batch_time_analysis", "training_time_dashboard"),
)
"""Figures of every folder and of every file of a run."""


@pytest.fixture
def copy(illustrated, tmp_path, monkeypatch):
    """A copy of the run without its figures, of which a few are drawn again."""
    specs = figure_specs()
    few = {name: specs[name] for name in FEW}
    monkeypatch.setattr("pipeline.workflows.visualize.figure_specs", lambda: few)
    path = tmp_path / "copy"
    shutil.copytree(illustrated.path, path)
    for folder in FIGURE_FOLDERS:
        shutil.rmtree(path / folder)
    return RunDirectory(path)


def pictures(run_dir: Path) -> set[str]:
    return {path.name for folder in FIGURE_FOLDERS for path in (run_dir / folder).glob("*.png")}


def test_training_ends_with_every_figure_and_a_report(illustrated):
    assert pictures(illustrated.path) == {f"{name}.png" for name in figure_specs()}
    report = illustrated.report_path.read_text()
    assert report.count("<img") == len(figure_specs())


def test_the_time_log_says_where_time_went(illustrated):
    breakdown = json.loads((illustrated.time_dir / "time_logs.json").read_text())["breakdown"]
    assert {"step", "validation", "callbacks", "checkpoint", "logging", "figures"} <= set(breakdown)
    assert all(seconds >= 0 for seconds in breakdown.values())


def test_a_run_is_drawn_again_in_other_formats(run_here, copy, tmp_path):
    finished = run_here(
        *("visualize", "--run_dir", copy.path, "--format", "svg,pdf", "--style", "paper"),
        cwd=tmp_path,
    )
    assert finished.status == 0, finished.err
    drawn = {path.suffix for path in (copy.path / FIGURE_FOLDERS[0]).iterdir()}
    assert drawn == {".svg", ".pdf"}


def test_the_report_keeps_its_figures_when_only_pdf_is_asked_for(run_here, copy, tmp_path):
    finished = run_here("visualize", "--run_dir", copy.path, "--format", "pdf", cwd=tmp_path)
    assert finished.status == 0, finished.err
    assert copy.report_path.read_text().count("<img") == len(FEW)


def test_truncated_logs_are_named_and_told_anew_from_the_run_log(run_here, copy, tmp_path):
    logs = (
        "batch_metrics/metrics_history.json",
        "time_tracking/time_logs.json",
        "lr_tracking/lr_logs.json",
    )
    for log in logs:
        path = copy.path / log
        content = path.read_text()
        path.write_text(content[: len(content) // 2])
    finished = run_here("visualize", "--run_dir", copy.path, cwd=tmp_path)
    assert finished.status == 3
    assert [finished.out.count(log) for log in logs] == [1, 1, 1]
    assert pictures(copy.path) == {f"{name}.png" for name in FEW}


@pytest.mark.parametrize("content", ["[]", "{}", '{"split": 3}'])
def test_an_evaluation_of_another_form_is_named(run_here, copy, tmp_path, content):
    copy.evaluation_path.write_text(content)
    finished = run_here("visualize", "--run_dir", copy.path, cwd=tmp_path)
    assert finished.status == 3
    assert "missing: evaluation.json: " in finished.out
    assert "predictions_vs_truth.png" in pictures(copy.path)


def test_without_log_and_run_log_the_other_figures_are_drawn(run_here, copy, tmp_path):
    shutil.rmtree(copy.metrics_dir)
    copy.run_log_path.unlink()
    finished = run_here("visualize", "--run_dir", copy.path, cwd=tmp_path)
    assert finished.status == 3
    assert "metrics_history.json" in finished.out
    assert {"calibration.png", "trait_attention.png", "batch_time_analysis.png"} <= pictures(
        copy.path
    )
    assert "train_val_loss.png" not in pictures(copy.path)


def test_a_configuration_that_is_no_text_is_named(run_here, copy, tmp_path):
    copy.config_path.write_bytes(b"name: \xff\xfe")
    finished = run_here("visualize", "--run_dir", copy.path, cwd=tmp_path)
    assert finished.status == 3
    assert finished.out.count("config.yaml") == 1


def test_a_run_that_was_killed_shows_what_it_had(run_here, copy, tmp_path):
    for name in FROM_THE_MODEL:
        (copy.path / name).unlink()
    shutil.rmtree(copy.path / "predictions")
    finished = run_here("visualize", "--run_dir", copy.path, cwd=tmp_path)
    assert finished.status == 3
    assert "evaluation.json" in finished.out
    assert {"training_dashboard.png", "trait_comparison.png"} <= pictures(copy.path)
    assert copy.report_path.exists()


def test_a_search_is_drawn_from_its_record(run_here, tmp_path):
    write_json(RunDirectory(tmp_path).study_path, synthetic_study(12))
    finished = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert finished.status == 0, finished.out + finished.err
    assert "not drawn: pareto_front: needs two objectives" in finished.out
    assert "8 figures drawn" in finished.out
    assert "report" not in finished.out
    assert len(list((tmp_path / "search_visualizations").glob("*.png"))) == 8
    assert f"interactive figures: {tmp_path}/search_visualizations/search.html" in finished.out


def test_a_directory_of_a_search_and_a_training_run_is_drawn_as_both(run_here, tmp_path):
    run = RunDirectory(tmp_path)
    write_json(run.study_path, synthetic_study(1))
    write_json(run.metrics_dir / "metrics_history.json", {"epoch": {"epoch_numbers": []}})
    finished = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert "interactive figures: " in finished.out
    assert "report: " in finished.out


def test_a_damaged_record_of_a_search_is_named(run_here, tmp_path):
    study = RunDirectory(tmp_path).study_path
    write_json(study, synthetic_study(12) | {"trials": 3})
    finished = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert finished.status == 3
    assert f"missing: {study}: is not the record of a search" in finished.out


def test_a_directory_without_a_run_is_refused(run_here, tmp_path):
    finished = run_here("visualize", "--run_dir", tmp_path, cwd=tmp_path)
    assert finished.status == 2
    assert str(tmp_path) in finished.err
    assert len(finished.err.splitlines()) == 1


def test_the_artifacts_of_a_tracked_run_are_enough(run_here, illustrated, workspace):
    link = json.loads(illustrated.tracking_path.read_text())
    finished = run_here("visualize", "--run_id", link["run_id"], cwd=workspace)
    assert finished.status == 0, finished.out + finished.err
    fetched = workspace / "results" / link["run_id"]
    assert pictures(fetched) == {f"{name}.png" for name in figure_specs()}
