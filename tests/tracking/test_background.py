import contextlib
import logging
import os
import signal
import threading
import time

import pytest

from pipeline.core.run_log import RunLog, read_events
from pipeline.tracking.background import BackgroundMirror, mirrored, system_metrics
from pipeline.tracking.delivery import StoreUnavailableError
from pipeline.tracking.run_link import read_link
from tests.waiting import wait_until

CLOSED_PORT = "http://127.0.0.1:9"


class FakeMirror:
    """A mirror that counts deliveries. The first `num_failures` deliveries fail."""

    def __init__(self, num_failures=0):
        self.deliveries = 0
        self._failures_left = num_failures

    def deliver(self, *, retries_rejected):
        self.deliveries += 1
        self.retries_rejected = retries_rejected
        if self._failures_left:
            self._failures_left -= 1
            raise StoreUnavailableError("gone")


class HangingMirror:
    """A mirror whose deliveries end when `released` is set."""

    def __init__(self):
        self.released = threading.Event()

    def deliver(self, *, retries_rejected):
        self.released.wait(timeout=30)


def test_events_soon_after_a_delivery_are_sent_together():
    mirror = FakeMirror()
    background = BackgroundMirror(lambda: mirror, rest_seconds=60)
    for _ in range(5):
        background.wake()
        wait_until(lambda: mirror.deliveries == 1, seconds=30)
        time.sleep(0.01)
    began = time.monotonic()
    assert background.close() is None
    assert mirror.deliveries == 2
    assert time.monotonic() - began < 30


def test_a_store_that_hangs_delays_neither_training_nor_closing():
    mirror = HangingMirror()
    background = BackgroundMirror(lambda: mirror)
    began = time.monotonic()
    for _ in range(1000):
        background.wake()
    assert time.monotonic() - began < 10
    assert background.close(seconds=0.2) == "no answer within 0.2 s"
    assert time.monotonic() - began < 20  # a delivery hangs for 30 s
    mirror.released.set()


@pytest.mark.parametrize("num_failures", [0, 2])
def test_closing_retries_until_all_events_are_delivered(num_failures):
    mirror = FakeMirror(num_failures)
    assert BackgroundMirror(lambda: mirror, retry_seconds=0.01).close() is None
    assert mirror.deliveries == num_failures + 1
    assert mirror.retries_rejected


def test_closing_returns_the_reason_after_its_time_limit():
    mirror = FakeMirror(num_failures=999)
    assert BackgroundMirror(lambda: mirror, retry_seconds=0.01).close(seconds=0.2) == "gone"


def test_closing_does_not_wait_for_a_store_that_was_down_before():
    mirror = FakeMirror(num_failures=999)
    background = BackgroundMirror(lambda: mirror, retry_seconds=60)
    background.wake()
    wait_until(lambda: mirror.deliveries == 1, seconds=30)
    began = time.monotonic()
    assert background.close(seconds=60) == "gone"
    assert time.monotonic() - began < 30
    assert mirror.deliveries == 2


def test_a_signal_ends_the_wait_and_the_sync_command_is_shown(make_run, caplog, hanging_store):
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


def test_an_outage_is_logged_once_and_the_delivery_continues_afterwards(caplog):
    mirror = FakeMirror(num_failures=3)
    background = BackgroundMirror(lambda: mirror, retry_seconds=0.01)
    with caplog.at_level(logging.WARNING):
        background.wake()
        wait_until(lambda: mirror.deliveries >= 4, seconds=30)
        background.close()
    (record,) = caplog.records
    assert "Training continues" in record.getMessage()


def test_a_run_without_a_link_is_not_mirrored(make_run):
    run = make_run()
    run.tracking_path.unlink()
    threads = threading.active_count()
    with mirrored(run) as mirror:
        mirror.wake()
        assert mirror.undelivered is None
        assert threading.active_count() == threads


def test_events_of_the_block_are_delivered_even_if_the_block_fails(make_run, client, log_epoch):
    run = make_run()
    with contextlib.suppress(ZeroDivisionError), mirrored(run):
        log_epoch(RunLog(run.run_log_path), 1)
        raise ZeroDivisionError
    (point,) = client.get_metric_history(read_link(run.tracking_path).run_id, "loss/train")
    assert point.value == 1.0


def test_an_incomplete_delivery_is_reported_with_the_sync_command(make_run, caplog):
    run = make_run(tracking_uri=CLOSED_PORT)
    with caplog.at_level(logging.WARNING), mirrored(run, patience_seconds=2.0) as mirror:
        pass
    assert "127.0.0.1" in mirror.undelivered
    last = caplog.records[-1].getMessage()
    assert f"python -m pipeline sync --run_dir {run.path}" in last


def test_a_run_that_a_signal_has_ended_waits_a_few_seconds_only(make_run, monkeypatch, caplog):
    mirror = HangingMirror()
    monkeypatch.setattr("pipeline.tracking.mirror.Mirror", lambda run, warns: mirror)
    monkeypatch.setattr("pipeline.tracking.background._SHORT_WAIT_SECONDS", 0.2)
    with pytest.raises(KeyboardInterrupt), mirrored(make_run(), patience_seconds=600):
        raise KeyboardInterrupt
    mirror.released.set()
    assert "no answer within 0.2 s" in caplog.records[-1].getMessage()


def test_a_nested_run_neither_waits_nor_warns(make_run, caplog):
    make_run(tracking_uri=CLOSED_PORT)
    fold = make_run("run/folds/fold-1", parent_dir="../..", tracking_uri=CLOSED_PORT)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), mirrored(fold, is_nested=True):
        pass
    assert time.monotonic() - began < 20
    assert caplog.records == []


class TestSystemMetrics:
    @pytest.fixture
    def run_log(self, tmp_path):
        return RunLog(tmp_path / "events.jsonl")

    @staticmethod
    def steps(run_log):
        return [event.content["step"] for event in read_events(run_log.path)]

    def test_short_runs_have_a_sample_and_resumed_runs_continue_the_steps(self, run_log):
        for _ in range(2):
            with system_metrics(run_log, enabled=True, interval_seconds=60.0):
                pass
        assert self.steps(run_log) == [0, 1]
        event = next(read_events(run_log.path))
        assert event.kind == "system"
        assert event.content["metrics"]["system/process_memory_mb"] > 1
        assert 0 <= event.content["metrics"]["system/memory_percent"] <= 100

    def test_samples_begin_after_other_metrics(self, run_log):
        with system_metrics(run_log, enabled=True, interval_seconds=0.01):
            time.sleep(0.2)
            assert self.steps(run_log) == []
            run_log.log_metrics({"search/mae": 0.1})
            wait_until(lambda: len(self.steps(run_log)) >= 2, seconds=30)

    def test_samples_repeat_until_the_block_ends_or_fails(self, run_log):
        run_log.has_metrics = True
        with (
            contextlib.suppress(KeyError),
            system_metrics(run_log, enabled=True, interval_seconds=0.01),
        ):
            wait_until(lambda: len(self.steps(run_log)) >= 3, seconds=30)
            raise KeyError
        steps = self.steps(run_log)
        assert steps == list(range(len(steps)))
        time.sleep(0.1)
        assert self.steps(run_log) == steps

    def test_disabled_sampling_logs_nothing(self, run_log):
        with system_metrics(run_log, enabled=False, interval_seconds=0.001):
            time.sleep(0.05)
        assert self.steps(run_log) == []
