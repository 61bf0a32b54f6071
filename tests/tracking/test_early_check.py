"""A helper process checks the store with the same result as this process."""

import contextlib
import sys

import psutil
import pytest

from pipeline.core.errors import RunError
from pipeline.tracking.check_store import check_store
from pipeline.tracking.early_check import StoreCheck

WRONG = "htp://me:s3cret@localhost:5000"


@pytest.fixture
def helpers():
    """A function that returns the processes that this process has started during the test."""
    before = set(psutil.Process().children())
    return lambda: [each for each in psutil.Process().children() if each not in before]


@pytest.fixture
def start(monkeypatch):
    """A function that starts a check as in a process that has not imported MLflow."""

    def start(check, *, num_cores=2, has_mlflow=False):
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.tracking.early_check.num_usable_cores", lambda: num_cores)
            if not has_mlflow:
                patch.delitem(sys.modules, "mlflow")
            check.start()

    return start


def test_an_error_in_the_helper_process_is_that_of_check_store(start, helpers, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WRONG)
    with pytest.raises(RunError) as expected:
        check_store("ocean")
    with StoreCheck("ocean") as check:
        start(check)
        assert len(helpers()) == 1
        with pytest.raises(RunError) as found:
            check.finish()
    assert str(found.value) == str(expected.value)
    assert helpers() == []


def test_the_helper_process_ends_when_the_store_is_accepted(
    start, helpers, store_uri, monkeypatch, capfd
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")  # a relative path
    with StoreCheck("ocean") as check:
        start(check)
        check.finish()
        assert helpers() == []
    assert capfd.readouterr().err == ""


def test_the_helper_process_ends_when_the_command_is_interrupted(start, helpers):
    with contextlib.suppress(KeyboardInterrupt), StoreCheck("ocean") as check:
        start(check)
        raise KeyboardInterrupt
    assert helpers() == []


def test_the_store_is_checked_even_if_the_helper_process_dies(start, helpers, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WRONG)
    with StoreCheck("ocean") as check:
        start(check)
        helpers()[0].kill()
        with pytest.raises(RunError, match="Write http://"):
            check.finish()


@pytest.mark.parametrize("settings", [{"num_cores": 1}, {"has_mlflow": True}])
def test_there_is_no_helper_process_if_it_would_not_save_time(
    settings, start, helpers, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WRONG)
    with StoreCheck("ocean") as check:
        start(check, **settings)
        assert helpers() == []
        with pytest.raises(RunError, match="Write http://"):
            check.finish()
