import pytest

from pipeline.core.journal import FINISHED, RESUMED, Journal
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_status import read_last_status


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path)


def test_a_run_without_a_journal_has_no_status(run):
    assert read_last_status(run) is None


def test_the_last_end_counts(run):
    journal = Journal(run.journal_path)
    journal.append(FINISHED, status="KILLED", reason="interrupted")
    journal.append(RESUMED, epoch=1, offset=0)
    journal.append(FINISHED, status="FINISHED")
    assert read_last_status(run) == "FINISHED"


def test_a_run_that_was_resumed_has_not_ended(run):
    journal = Journal(run.journal_path)
    journal.append(FINISHED, status="KILLED", reason="interrupted")
    journal.append(RESUMED, epoch=1, offset=0)
    assert read_last_status(run) is None
