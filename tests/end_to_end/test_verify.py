import json

import pytest

from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.gallery import training_figures
from pipeline.workflows.verify import Check, write_results

pytestmark = pytest.mark.slow

SMALL = (
    *("--data.synthetic.num_clips", 240, "--data.synthetic.num_steps", 4),
    *("--training.num_epochs", 3, "--training.batch_size", 32, "--model.fusion_dim", 16),
    *("--evaluation.num_resamples", 100),
)


def test_an_installation_that_works_passes_and_leaves_only_its_results(run_here, tmp_path):
    finished = run_here("verify", *SMALL, cwd=tmp_path)
    assert finished.status == 0, finished.out + finished.err
    results = json.loads((tmp_path / "test_results.json").read_text())
    files = results.pop("files")
    assert set(results.values()) == {"passed"}
    assert {
        "training_callbacks",
        "visualization_script",
        "attention_visualization",
        "training_time_analysis",
    } <= set(results)
    assert len(files) > len(training_figures())
    assert [path.name for path in tmp_path.iterdir()] == ["test_results.json"]


def test_a_file_that_is_missing_torn_or_blank_fails_its_part(tmp_path):
    from pipeline.workflows import verification

    run = RunDirectory(tmp_path)
    run.time_dir.mkdir()
    (run.time_dir / "time_logs.json").write_text("{")
    checks = [
        verification.Check(part=part, file=file, fault=verification._fault(tmp_path / file, read))
        for part, file, read in verification._expected(run)
    ]
    faults = {check.file: check.fault for check in checks}
    assert faults["model.keras"] == "is missing"
    assert "cannot be read as JSON" in faults["time_tracking/time_logs.json"]
    assert all(faults.values())


def test_a_demo_that_stops_is_told_by_the_table(monkeypatch, tmp_path):
    from pipeline.workflows import verification

    def stop(*_, **__):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(verification, "run_training", stop)
    first, *others = verification.verify_installation(ExperimentConfig(), tmp_path)
    assert first.fault == "stopped with RuntimeError: no such operation"
    assert {check.fault for check in others} == {"is missing"}


def test_one_fault_fails_its_part_alone(tmp_path):
    checks = (
        Check(part="training", file="a", fault=""),
        Check(part="report", file="b", fault="is missing"),
    )
    write_results(tmp_path / "results.json", checks)
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "training": "passed",
        "report": "failed",
        "files": {"a": "passed", "b": "is missing"},
    }
