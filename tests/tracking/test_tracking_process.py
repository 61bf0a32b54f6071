"""A helper process checks the store and delivers a run with the same results as this process."""

import contextlib
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from pipeline.core.errors import RunError
from pipeline.core.run_log import RunLog
from pipeline.tracking.background import mirrored
from pipeline.tracking.check_store import check_store
from pipeline.tracking.delivery import DeliveryError, StoreUnavailableError
from pipeline.tracking.mirror import is_delivered
from pipeline.tracking.run_link import read_link
from pipeline.tracking.tracking_process import TrackingProcess

WRONG = "htp://me:s3cret@localhost:5000"


@pytest.fixture
def helpers():
    """A function that returns the processes that this process has started during the test."""
    before = set(psutil.Process().children())
    return lambda: [each for each in psutil.Process().children() if each not in before]


def start(process, *, num_cores=2, has_mlflow=False):
    """Start a process as in a command that has not imported MLflow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.tracking.tracking_process.num_usable_cores", lambda: num_cores)
        if not has_mlflow:
            patch.delitem(sys.modules, "mlflow")
        process.start("ocean")


@pytest.fixture(scope="module")
def shared():
    """A running helper process. Its store does not matter, because each run has its own link."""
    with pytest.MonkeyPatch.context() as patch, contextlib.closing(TrackingProcess()) as process:
        patch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
        start(process)
        process.check_store("ocean")
        yield process


def test_an_error_in_the_helper_process_is_that_of_check_store(helpers, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WRONG)
    with pytest.raises(RunError) as expected:
        check_store("ocean")
    with contextlib.closing(TrackingProcess()) as process:
        start(process)
        assert len(helpers()) == 1
        with pytest.raises(RunError) as found:
            process.check_store("ocean")
    assert str(found.value) == str(expected.value)
    assert helpers() == []


def test_a_run_is_delivered_by_the_helper_process(shared, make_run, client, log_epoch, capfd):
    run = make_run()
    with mirrored(run, process=shared) as mirror:
        log_epoch(RunLog(run.run_log_path), 1)
    assert mirror.undelivered is None
    (point,) = client.get_metric_history(read_link(run.tracking_path).run_id, "loss/train")
    assert point.value == 1.0
    tags = client.get_run(read_link(run.tracking_path).run_id).data.tags
    assert tags["mlflow.source.name"] == sys.argv[0]
    assert capfd.readouterr().err == ""


def test_an_outage_is_reported_by_the_helper_process(shared, make_run):
    run = make_run(tracking_uri="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1"):
        shared.mirror(run, warns=True).deliver()


def test_a_rejection_in_the_helper_process_is_logged(shared, make_run, caplog):
    run = make_run()
    RunLog(run.run_log_path).log_tags({"a" * 300: "too long"})
    with caplog.at_level(logging.WARNING):
        rejected = shared.mirror(run, warns=True).deliver()
    assert "MLflow rejected" in rejected
    assert "MLflow rejected" in caplog.records[-1].getMessage()


@pytest.mark.slow
def test_the_url_of_a_run_on_a_server_is_printed(shared, make_run, server, capsys):
    run = make_run(tracking_uri=server.uri)
    RunLog(run.run_log_path).log_status("FINISHED")
    assert shared.mirror(run, warns=True).deliver() is None
    assert f"{server.uri}/#/experiments/" in capsys.readouterr().out


def test_a_damaged_run_is_a_delivery_error(shared, make_run):
    run = make_run()
    run.run_log_path.write_text("{}\n")
    with pytest.raises(DeliveryError, match="damaged"):
        shared.mirror(run, warns=True).deliver()


def test_the_store_is_checked_even_if_the_helper_process_dies(helpers, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WRONG)
    with contextlib.closing(TrackingProcess()) as process:
        start(process)
        helpers()[0].kill()
        with pytest.raises(RunError, match="Write http://"):
            process.check_store("ocean")


def test_a_run_is_delivered_even_if_the_helper_process_dies(helpers, make_run):
    run = make_run()
    with contextlib.closing(TrackingProcess()) as process:
        start(process)
        mirror = process.mirror(run, warns=True)
        helpers()[0].kill()
        RunLog(run.run_log_path).log_tags({"a": "b"})
        assert mirror.deliver() is None
    assert is_delivered(run)


def test_the_helper_process_ends_when_the_command_is_interrupted(helpers):
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(TrackingProcess()) as process:
        start(process)
        raise KeyboardInterrupt
    assert helpers() == []


def test_a_delivery_ends_with_the_helper_process(helpers, make_run):
    with contextlib.closing(TrackingProcess()) as process, ThreadPoolExecutor() as executor:
        start(process)
        helpers()[0].suspend()  # so that the delivery cannot end by itself
        mirror = process.mirror(make_run(), warns=True)
        delivery = executor.submit(mirror.deliver)
        process.close()
        with pytest.raises(DeliveryError, match="interrupted"):
            delivery.result(30)


@pytest.mark.parametrize("settings", [{"num_cores": 1}, {"has_mlflow": True}])
def test_there_is_no_helper_process_if_it_would_not_save_time(settings, helpers, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", WRONG)
    with contextlib.closing(TrackingProcess()) as process:
        start(process, **settings)
        assert helpers() == []
        with pytest.raises(RunError, match="Write http://"):
            process.check_store("ocean")
