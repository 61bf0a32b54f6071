import logging
import os
import signal
import threading
import time

import pytest

from pipeline.core.run_log import RunLog
from pipeline.tracking.background import BackgroundMirror, mirrored
from pipeline.tracking.mirror import StoreUnavailableError
from pipeline.tracking.run_link import read_link

GONE = "http://127.0.0.1:9"


class FakeMirror:
    """Counts deliveries; fails as often as it is told to."""

    def __init__(self, num_failures=0):
        self.deliveries = 0
        self._failures_left = num_failures

    def deliver(self, *, retries_refused):
        self.deliveries += 1
        self.retries_refused = retries_refused
        if self._failures_left:
            self._failures_left -= 1
            raise StoreUnavailableError("gone")


class HangingMirror:
    """A store that does not answer, until it is released."""

    def __init__(self):
        self.released = threading.Event()

    def deliver(self, *, retries_refused):
        self.released.wait(timeout=30)


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_wake_delivers():
    mirror = FakeMirror()
    background = BackgroundMirror(mirror)
    background.wake()
    wait_until(lambda: mirror.deliveries == 1)
    background.close()


def test_what_follows_soon_after_a_delivery_goes_together():
    mirror = FakeMirror()
    background = BackgroundMirror(mirror, rest_seconds=60)
    for _ in range(5):
        background.wake()
        wait_until(lambda: mirror.deliveries == 1)
        time.sleep(0.01)
    began = time.monotonic()
    assert background.close() is None
    assert mirror.deliveries == 2
    assert time.monotonic() - began < 30


def test_a_store_that_hangs_does_not_hold_up_who_wakes_the_mirror():
    mirror = HangingMirror()
    background = BackgroundMirror(mirror)
    began = time.monotonic()
    for _ in range(1000):
        background.wake()
    assert time.monotonic() - began < 1.0
    mirror.released.set()
    background.close()


def test_closing_delivers_what_is_left():
    mirror = FakeMirror()
    assert BackgroundMirror(mirror).close() is None
    assert mirror.deliveries == 1
    assert mirror.retries_refused


def test_closing_tries_again_until_the_store_is_back():
    mirror = FakeMirror(num_failures=2)
    assert BackgroundMirror(mirror, retry_seconds=0.01).close() is None
    assert mirror.deliveries == 3


def test_closing_says_why_something_is_left_when_its_time_is_over():
    mirror = FakeMirror(num_failures=999)
    assert BackgroundMirror(mirror, retry_seconds=0.01).close(seconds=0.2) == "gone"


def test_closing_does_not_wait_for_a_store_that_was_down_before():
    mirror = FakeMirror(num_failures=999)
    background = BackgroundMirror(mirror, retry_seconds=60)
    background.wake()
    wait_until(lambda: mirror.deliveries == 1)
    began = time.monotonic()
    assert background.close(seconds=60) == "gone"
    assert time.monotonic() - began < 30
    assert mirror.deliveries == 2


def test_closing_gives_up_a_store_that_hangs_when_its_time_is_over():
    mirror = HangingMirror()
    background = BackgroundMirror(mirror)
    began = time.monotonic()
    assert background.close(seconds=0.2) == "no answer within 0.2 s"
    assert time.monotonic() - began < 10
    mirror.released.set()


def test_a_signal_ends_the_wait_for_mlflow_at_once_with_the_command_that_sends_the_rest(
    make_run, caplog, monkeypatch
):
    released = threading.Event()

    def hang(uri):
        released.wait(60)
        raise ConnectionError(uri)

    monkeypatch.setattr("pipeline.tracking.mirror.open_store", hang)
    run = make_run()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(KeyboardInterrupt),
        mirrored(run, patience_seconds=60),
    ):
        timer.start()
    assert time.monotonic() - began < 30
    assert f"python -m pipeline sync --run_dir {run.path}" in caplog.records[-1].getMessage()
    released.set()


def test_an_outage_is_told_once_and_ends_by_itself(caplog):
    mirror = FakeMirror(num_failures=3)
    background = BackgroundMirror(mirror, retry_seconds=0.01)
    with caplog.at_level(logging.WARNING):
        background.wake()
        wait_until(lambda: mirror.deliveries >= 4)
        background.close()
    (record,) = caplog.records
    assert "The run goes on" in record.getMessage()


def test_a_run_without_a_link_is_not_mirrored(make_run):
    run = make_run()
    run.tracking_path.unlink()
    threads = threading.active_count()
    with mirrored(run) as mirror:
        mirror.wake()
        assert mirror.undelivered is None
        assert threading.active_count() == threads


def test_what_is_run_logled_in_the_block_has_arrived_when_it_ends(make_run, client, tell_epoch):
    run = make_run()
    with mirrored(run):
        tell_epoch(RunLog(run.run_log_path), 1)
    (point,) = client.get_metric_history(read_link(run.tracking_path).run_id, "train/loss")
    assert point.value == 1.0


def test_a_block_that_fails_is_delivered_too_and_its_error_is_kept(make_run, client, tell_epoch):
    run = make_run()

    def train():
        with mirrored(run):
            tell_epoch(RunLog(run.run_log_path), 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert client.get_metric_history(read_link(run.tracking_path).run_id, "train/loss")


def test_what_an_outage_leaves_is_told_with_the_command_that_sends_it(make_run, caplog):
    run = make_run(tracking_uri=GONE)
    with caplog.at_level(logging.WARNING), mirrored(run, patience_seconds=2.0) as mirror:
        pass
    assert "127.0.0.1" in mirror.undelivered
    last = caplog.records[-1].getMessage()
    assert f"python -m pipeline sync --run_dir {run.path}" in last


def test_a_run_that_a_signal_has_ended_waits_a_few_seconds_only(make_run, monkeypatch, caplog):
    mirror = HangingMirror()
    monkeypatch.setattr("pipeline.tracking.background.Mirror", lambda run, warns: mirror)
    monkeypatch.setattr("pipeline.tracking.background._SHORT_WAIT_SECONDS", 0.2)
    with pytest.raises(KeyboardInterrupt), mirrored(make_run(), patience_seconds=600):
        raise KeyboardInterrupt
    mirror.released.set()
    assert "no answer within 0.2 s" in caplog.records[-1].getMessage()


def test_a_nested_run_leaves_waiting_and_warning_to_its_parent(make_run, caplog):
    make_run(tracking_uri=GONE)
    fold = make_run("run/folds/fold-1", parent_dir="../..", tracking_uri=GONE)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), mirrored(fold, is_nested=True):
        pass
    assert time.monotonic() - began < 20
    assert caplog.records == []
