"""Commands are measured: output, duration and peak memory."""

import pytest

from benchmarks.processes import run_command


def test_a_command_has_an_output_and_a_duration(tmp_path):
    code = "import os, time; time.sleep(0.3); print(os.getcwd(), os.environ['MLFLOW_TRACKING_URI'])"
    finished = run_command(("-c", code), work_dir=tmp_path)
    assert finished.output.split() == [str(tmp_path), f"sqlite:///{tmp_path / 'mlflow.db'}"]
    assert 0.3 <= finished.seconds < 60


def test_an_error_contains_the_error_output(tmp_path):
    with pytest.raises(RuntimeError, match=r"exit status 1[\s\S]*ZeroDivisionError"):
        run_command(("-c", "1 / 0"), work_dir=tmp_path)


def test_a_command_is_interrupted_after_the_given_time(tmp_path):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('interrupted')))\n"
        "time.sleep(60)"
    )
    finished = run_command(("-c", code), work_dir=tmp_path, stop_after=2)
    assert finished.output.strip() == "interrupted"
    assert 2 <= finished.seconds < 30


def test_the_memory_of_child_processes_is_measured(tmp_path):
    child = "data = bytearray(b'1') * 200_000_000; import time; time.sleep(2)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    finished = run_command(("-c", code), work_dir=tmp_path, watches_memory=True)
    assert 200 <= finished.peak_child_mb < 300
    assert finished.peak_child_mb < finished.peak_mb < 400
    assert 200 <= finished.peak_private_mb < finished.peak_mb
