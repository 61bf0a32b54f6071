import pytest

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_last_status


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path)


def test_a_run_without_a_run_log_has_no_status(run):
    assert read_last_status(run) is None


def test_the_last_end_counts(run):
    run_log = RunLog(run.run_log_path)
    run_log.log_status("KILLED", reason="interrupted")
    run_log.log_resumed(1, offset=0)
    run_log.log_status("FINISHED")
    assert read_last_status(run) == "FINISHED"


def test_a_run_that_was_resumed_has_not_ended(run):
    run_log = RunLog(run.run_log_path)
    run_log.log_status("KILLED", reason="interrupted")
    run_log.log_resumed(1, offset=0)
    assert read_last_status(run) is None
