"""Runs on a full disk, under a file-size limit, and in a directory that is not UTF-8."""

import json
import os
import resource
import subprocess

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    """Return a function that mounts or resizes a small disk."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = False

    def resize(size):
        nonlocal mounted
        option = f"remount,size={size}" if mounted else f"size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", option, "tmpfs", path], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("needs the right to mount a disk")
        mounted = True
        return path

    try:
        yield resize
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def train(run_here, features_dir, settings, tmp_path):
    def train(run_dir, *options):
        return run_here(
            *("train", "--features_dir", features_dir, "--run_dir", run_dir, *settings),
            *("--training.num_epochs", 2, "--tracking.enabled", "false", *options),
            cwd=tmp_path,
        )

    return train


def test_a_disk_that_is_full_at_the_start_is_an_error_and_no_file_remains(disk, train):
    path = disk("8k")
    line = train(path / "run").error_line()
    assert line.startswith(f"error: {path / 'run'}")
    assert "No space left on device. Make room on this disk." in line
    assert list(path.iterdir()) == []


def test_a_run_on_a_full_disk_is_resumed_after_room_is_made(disk, train, run_here, tmp_path):
    path = disk("150k")
    result = train(path / "run")
    assert result.status == 2
    line = result.err.splitlines()[-1]
    assert f"error: {path / 'run'}" in line
    assert f"Resume with `python -m pipeline train --resume {path / 'run'}`." in line
    assert "Traceback" not in result.err
    disk("100m")
    resumed = run_here("train", "--resume", path / "run", cwd=tmp_path)
    assert resumed.status == 0, resumed.err


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


def test_a_directory_whose_name_is_not_utf_8_can_contain_a_run(train, tmp_path):
    run_dir = tmp_path / os.fsdecode(b"caf\xe9") / "run"
    result = train(run_dir, "--tracking.enabled", "true", "--evaluation.figures", "true")
    assert result.status == 0, result.err
    assert r"caf\udce9" in (run_dir / "report.html").read_text(encoding="utf-8")
    run_id = json.loads((run_dir / "mlflow.json").read_text(encoding="utf-8"))["run_id"]
    run = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["run_dir"] == str(tmp_path / r"caf\udce9" / "run")
