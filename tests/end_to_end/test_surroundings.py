"""Runs on a full disk, with a file size limit, and in a directory with a non-UTF-8 name."""

import json
import os
import resource
import subprocess

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    """A mounted disk of 8 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", path]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def train(run_here, features_dir, settings, tmp_path):
    """Return a function that trains in a run directory."""

    def run(run_dir, *options):
        return run_here(
            *("train", "--features_dir", features_dir, "--run_dir", run_dir, *settings),
            *("--training.num_epochs", 2, "--tracking.enabled", "false", *options),
            cwd=tmp_path,
        )

    return run


def test_a_disk_that_is_full_at_the_start_is_an_error_and_no_file_remains(disk, train):
    line = train(disk / "run").error_line()
    assert line.startswith(f"error: {disk / 'run'}")
    assert "No space left on device. Make room on this disk." in line
    assert list(disk.iterdir()) == []


def test_a_file_size_limit_is_an_error_with_the_fix(train, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        result = train(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.status == 2
    line = result.err.splitlines()[-1]
    assert "File too large. Raise the limit on the size of files (`ulimit -f`)." in line


def test_a_directory_with_a_non_utf_8_name_can_contain_a_run(train, tmp_path):
    run_dir = tmp_path / os.fsdecode(b"caf\xe9") / "run"
    result = train(run_dir, "--tracking.enabled", "true", "--evaluation.figures", "true")
    assert result.status == 0, result.err
    assert r"caf\udce9" in (run_dir / "report.html").read_text(encoding="utf-8")
    run_id = json.loads((run_dir / "mlflow.json").read_text(encoding="utf-8"))["run_id"]
    run = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["run_dir"] == str(tmp_path / r"caf\udce9" / "run")
