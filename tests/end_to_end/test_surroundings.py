"""A run in odd surroundings: a disk that is full, a file limit, a name that is not UTF-8."""

import json
import os
import resource
import subprocess

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    """Return a function that mounts, or enlarges, a small disk."""
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


def test_a_disk_that_is_full_from_the_start_is_named_and_nothing_is_left(disk, train):
    path = disk("8k")
    finished = train(path / "run")
    (line,) = finished.err.splitlines()
    assert finished.status == 2
    assert line.startswith(f"error: {path / 'run'}")
    assert "No space left on device. Make room on this disk." in line
    assert list(path.iterdir()) == []


def test_a_run_whose_disk_is_full_goes_on_when_there_is_room(disk, train, run_here, tmp_path):
    path = disk("150k")
    finished = train(path / "run")
    assert finished.status == 2
    line = finished.err.splitlines()[-1]
    assert f"error: {path / 'run'}" in line
    assert f"Go on with `python -m pipeline train --resume {path / 'run'}`." in line
    assert "Traceback" not in finished.err
    disk("100m")
    resumed = run_here("train", "--resume", path / "run", cwd=tmp_path)
    assert resumed.status == 0, resumed.err


def test_a_limit_on_the_size_of_files_is_named_with_its_cure(train, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        finished = train(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert finished.status == 2
    line = finished.err.splitlines()[-1]
    assert "File too large. Raise the limit on the size of files (`ulimit -f`)." in line


def test_a_directory_whose_name_is_not_utf_8_holds_a_run_and_its_report(train, tmp_path):
    run_dir = tmp_path / os.fsdecode(b"caf\xe9") / "run"
    finished = train(run_dir, "--tracking.enabled", "true", "--evaluation.figures", "true")
    assert finished.status == 0, finished.err
    assert r"caf\udce9" in (run_dir / "report.html").read_text(encoding="utf-8")
    run_id = json.loads((run_dir / "mlflow.json").read_text(encoding="utf-8"))["run_id"]
    run = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["run_dir"] == str(tmp_path / r"caf\udce9" / "run")
