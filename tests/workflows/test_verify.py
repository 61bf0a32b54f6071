import json

from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.workflows import verify


def test_missing_and_damaged_files_are_faults(tmp_path):
    run = RunDirectory(tmp_path)
    run.time_dir.mkdir()
    (run.time_dir / "time_logs.json").write_text("{")
    faults = {check.file: check.fault for check in verify.check_run_files(run)}
    assert faults["model.keras"] == "is missing"
    assert "cannot be read as JSON" in faults["time_tracking/time_logs.json"]
    assert all(faults.values())


def test_a_failed_training_is_a_fault(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(verify, "run_training", fail)
    first, *others = verify.verify_installation(ExperimentConfig(), tmp_path)
    assert first.fault == "stopped with RuntimeError: no such operation"
    assert {check.fault for check in others} == {"is missing"}


def test_a_fault_fails_only_its_part(tmp_path):
    checks = (
        verify.Check(part="training", file="a", fault=""),
        verify.Check(part="report", file="b", fault="is missing"),
    )
    verify.write_results(tmp_path / "results.json", checks)
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "training": "passed",
        "report": "failed",
        "files": {"a": "passed", "b": "is missing"},
    }
