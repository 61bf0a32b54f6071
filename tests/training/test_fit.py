import json
import os
import shutil
import signal
from dataclasses import replace

import keras
import pytest

from pipeline.core.errors import RunError
from pipeline.core.interrupts import interrupt_handlers
from pipeline.core.run_log import (
    CHECKPOINT,
    EPOCH,
    FINISHED,
    RESUMED,
    RunLog,
    effective_events,
    read_events,
)
from pipeline.records.epochs import epoch_records
from pipeline.training.checkpoint import read_last_state

pytestmark = pytest.mark.slow

COSINE = {"schedule": "warmup_cosine", "optimizer": "adamw"}
PLATEAU = {
    "schedule": "constant",
    "learning_rate": 3.0,  # too high: the loss improves for a few epochs only
    "num_epochs": 12,
    "reduce_lr_patience": 1,
    "early_stopping_patience": 3,
}


class KilledError(Exception):
    """The exception that ends a run in these tests."""


class Kill(keras.callbacks.Callback):
    """End a run in the middle of an epoch, or between its record and its checkpoint."""

    def __init__(self, epoch: int, moment: str) -> None:
        super().__init__()
        self._when = (epoch, moment)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, "batch") == self._when and batch >= 1:
            raise KilledError

    def on_epoch_end(self, epoch, logs=None):
        if (self._epoch, "record") == self._when:
            raise KilledError


class Script(keras.callbacks.Callback):
    """Replace the monitored value, and keep the weights of every epoch."""

    def __init__(self, values) -> None:
        super().__init__()
        self._values = values
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        logs["val_mae"] = self._values[epoch]
        self.weights.append([each.numpy().tobytes() for each in self.model.network.variables])


def fit_until_kill(laboratory, run_dir, epoch, moment, **settings):
    with pytest.raises(KilledError):
        laboratory.fit(run_dir, callbacks=[Kill(epoch, moment)], **settings)


def fit_with_kills(laboratory, run_dir, kills, **settings):
    for epoch, moment in kills:
        fit_until_kill(laboratory, run_dir, epoch, moment, **settings)
    return laboratory.fit(run_dir, **settings)


def untimed(record):
    steps = replace(record.steps, seconds=[], wait_seconds=[], time_ms=[])
    return replace(record, train_seconds=0.0, validation_seconds=0.0, steps=steps)


def logs_of(run):
    """Return the three JSON logs without measured times."""
    metrics = json.loads((run.metrics_dir / "metrics_history.json").read_text())
    times = json.loads((run.time_dir / "time_logs.json").read_text())
    rates = json.loads((run.learning_rate_dir / "lr_logs.json").read_text())
    numbers = {name: times[name] for name in ("epoch_numbers", "batch_numbers")}
    return {"epoch": metrics["epoch"], "batch": metrics["batch"]}, numbers, rates


def assert_same_run(first, second, laboratory):
    ((inputs, _),) = laboratory.validation().dataset().take(1)
    predictions = [each.network.predict(inputs, verbose=0).tobytes() for each in (first, second)]
    assert predictions[0] == predictions[1]
    assert first.weights == second.weights
    assert first.result.history.history == second.result.history.history
    assert first.result.history.epoch == second.result.history.epoch
    assert first.result.best_epoch == second.result.best_epoch
    assert first.result.best_value == second.result.best_value
    records = [[untimed(record) for record in each.result.records] for each in (first, second)]
    assert records[0] == records[1]
    assert logs_of(first.run) == logs_of(second.run)


def events_of(run_dir, *kinds):
    """Return the kind and the epoch of all events, or only of events of the given kinds."""
    events = read_events(run_dir / "events.jsonl")
    return [(e.kind, e.content.get("epoch")) for e in events if not kinds or e.kind in kinds]


@pytest.fixture(scope="module")
def cosine(laboratory, tmp_path_factory):
    """Five uninterrupted epochs."""
    return laboratory.fit(tmp_path_factory.mktemp("cosine"), **COSINE)


class TestResume:
    def test_a_resumed_run_has_the_same_values(self, laboratory, cosine, tmp_path):
        kills = [(3, "batch"), (4, "record")]
        resumed = fit_with_kills(laboratory, tmp_path, kills, **COSINE)
        assert_same_run(cosine, resumed, laboratory)

    def test_the_counters_of_plateaus_and_early_stopping_are_restored(self, laboratory, tmp_path):
        whole = laboratory.fit(tmp_path / "whole", **PLATEAU)
        rates = [record.learning_rate for record in whole.result.records]
        num_epochs = len(rates)
        assert rates[-1] < rates[-2] < rates[0]
        assert 1 < whole.result.best_epoch < num_epochs < PLATEAU["num_epochs"]

        # In the last two epochs, the counters of both callbacks are above zero.
        kills = [(num_epochs - 1, "record"), (num_epochs, "batch")]
        resumed = fit_with_kills(laboratory, tmp_path / "resumed", kills, **PLATEAU)
        assert_same_run(whole, resumed, laboratory)

    def test_a_kill_before_the_first_record_starts_again(self, laboratory, cosine, tmp_path):
        run_log = RunLog(tmp_path / "events.jsonl")
        run_log.log_params({})
        run_log.log_status("KILLED", reason="interrupted")
        resumed = laboratory.fit(tmp_path, **COSINE)
        assert_same_run(cosine, resumed, laboratory)
        kinds = [event.kind for event in effective_events(read_events(run_log.path))]
        assert kinds[:4] == ["params", FINISHED, RESUMED, EPOCH]

    def test_a_kill_before_the_first_checkpoint_supersedes_the_record(
        self, laboratory, cosine, tmp_path
    ):
        resumed = fit_with_kills(laboratory, tmp_path, [(1, "record")], **COSINE)
        assert_same_run(cosine, resumed, laboratory)
        assert events_of(tmp_path, EPOCH) == [(EPOCH, epoch) for epoch in (1, 1, 2, 3, 4, 5)]
        events = effective_events(read_events(tmp_path / "events.jsonl"))
        assert epoch_records(events) == resumed.result.records

    def test_a_kill_between_a_checkpoint_and_its_event_loses_no_epoch(
        self, laboratory, cosine, tmp_path, monkeypatch
    ):
        log_checkpoint = RunLog.log_checkpoint

        def kill(run_log, epoch):
            if epoch == 2:
                raise KilledError
            log_checkpoint(run_log, epoch)

        monkeypatch.setattr(RunLog, "log_checkpoint", kill)
        with pytest.raises(KilledError):
            laboratory.fit(tmp_path, **COSINE)
        monkeypatch.undo()
        assert read_last_state(tmp_path / "checkpoints").epoch == 2

        assert_same_run(cosine, laboratory.fit(tmp_path, **COSINE), laboratory)
        assert events_of(tmp_path)[:6] == [
            (EPOCH, 1),
            (CHECKPOINT, 1),
            (EPOCH, 2),
            (CHECKPOINT, 2),
            (RESUMED, 2),
            (EPOCH, 3),
        ]

    def test_a_run_log_without_its_epochs_is_an_error(self, laboratory, cosine, tmp_path):
        run_dir = tmp_path / "run"
        shutil.copytree(cosine.run.path, run_dir)
        (run_dir / "events.jsonl").write_bytes(b"")
        with pytest.raises(RunError, match=r"events\.jsonl: .*checkpoint of epoch 5.* byte"):
            laboratory.fit(run_dir, **COSINE)


class TestDamagedCheckpoint:
    def test_after_two_kills_and_damage_each_epoch_is_logged_once(
        self, laboratory, cosine, tmp_path
    ):
        for _ in range(2):  # the second fit continues from the checkpoint of epoch 3
            fit_until_kill(laboratory, tmp_path, 4, "batch", **COSINE)
        shutil.rmtree(tmp_path / "checkpoints" / "epoch-00003")
        assert_same_run(cosine, laboratory.fit(tmp_path, **COSINE), laboratory)
        assert events_of(tmp_path, EPOCH) == [(EPOCH, epoch) for epoch in range(1, 6)]

    def test_epochs_without_any_checkpoint_are_an_error(self, laboratory, tmp_path):
        fit_until_kill(laboratory, tmp_path, 3, "batch", **COSINE)
        shutil.rmtree(tmp_path / "checkpoints")
        with pytest.raises(RunError, match=r"checkpoints: has no intact checkpoint.* 2 epochs"):
            laboratory.fit(tmp_path, **COSINE)


class TestWithoutResume:
    def test_the_values_are_the_same_without_checkpoints(self, laboratory, tmp_path):
        values = [0.3, 0.1, 0.2, 0.2, 0.2]
        saved, lean = (
            laboratory.fit(
                tmp_path / name, callbacks=[Script(values)], is_resumable=is_resumable, **COSINE
            )
            for name, is_resumable in (("saved", True), ("lean", False))
        )
        assert_same_run(saved, lean, laboratory)
        assert lean.result.best_epoch == 2
        assert not lean.run.checkpoints_dir.exists()

    def test_a_killed_fit_writes_its_logs_and_epochs(self, laboratory, tmp_path):
        fit_until_kill(laboratory, tmp_path, 3, "record", is_resumable=False, **COSINE)
        log = json.loads((tmp_path / "batch_metrics" / "metrics_history.json").read_text())
        assert log["epoch"]["epoch_numbers"] == [1, 2, 3]
        kinds = [kind for kind, _ in events_of(tmp_path)]
        assert kinds == [EPOCH, CHECKPOINT] * 2 + [EPOCH]


def test_the_same_seed_gives_identical_values(laboratory, cosine, tmp_path):
    again = laboratory.fit(tmp_path, steps_per_execution=2, **COSINE)
    assert_same_run(cosine, again, laboratory)


class TestBestEpoch:
    def test_the_weights_of_the_best_epoch_are_returned(self, laboratory, tmp_path):
        script = Script([0.3, 0.1, 0.2])
        fitted = laboratory.fit(tmp_path, callbacks=[script], num_epochs=3)
        assert fitted.result.best_epoch == 2
        assert fitted.result.monitor == "val_mae"
        assert fitted.weights == script.weights[1] != script.weights[2]

    def test_larger_is_better_for_some_metrics(self, laboratory, tmp_path):
        result = laboratory.fit(tmp_path, monitor="r2", num_epochs=3).result
        values = [record.val_metrics["r2"]["mean"] for record in result.records]
        assert result.monitor == "val_r2"
        assert result.best_value == max(values)
        assert values[result.best_epoch - 1] == max(values)

    def test_without_validation_the_last_epoch_is_the_best(self, laboratory, tmp_path):
        settings = {"validated": False, "num_epochs": 2, "learning_rate": 3.0}
        saved = laboratory.fit(tmp_path / "saved", **settings)
        lean = laboratory.fit(tmp_path / "lean", is_resumable=False, **settings)
        result = saved.result
        assert (result.best_epoch, result.monitor) == (2, "loss")
        assert result.records[-1].val_metrics is None
        assert result.best_value == result.records[-1].loss
        assert lean.weights == saved.weights


class TestStopping:
    def test_a_plateau_reduces_the_rate_and_then_stops(self, laboratory, tmp_path):
        # With this small rate no weight changes, so no epoch is better than the first.
        settings = {**PLATEAU, "learning_rate": 1e-12, "weight_decay": 0.0}
        result = laboratory.fit(tmp_path, **settings).result
        rates = [record.learning_rate for record in result.records]
        assert rates == pytest.approx([1e-12, 1e-12, 5e-13, 2.5e-13])
        assert result.best_epoch == 1
        assert read_last_state(tmp_path / "checkpoints").stopped

    def test_a_small_improvement_is_no_plateau(self, laboratory, tmp_path):
        settings = {**PLATEAU, "learning_rate": 1e-5, "num_epochs": 3, "reduce_lr_patience": 1}
        result = laboratory.fit(tmp_path, **settings).result
        first, second, third = (record.val_metrics["mae"]["mean"] for record in result.records)
        assert first - 1e-4 < second < first
        assert second - 1e-4 < third < second
        assert len({record.learning_rate for record in result.records}) == 1


def test_the_epochs_of_the_run_log_are_the_records_of_the_result(cosine):
    records = cosine.result.records
    assert epoch_records(read_events(cosine.run.run_log_path)) == records
    numbers = [number for record in records for number in record.steps.numbers]
    assert numbers == list(range(1, 16))
    assert records[-1].loss < 0.9 * records[0].loss


def test_an_interrupt_while_a_step_reads_the_clock_is_an_interrupt(
    laboratory, tmp_path, monkeypatch
):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.training.instrumented_model._clock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        laboratory.fit(tmp_path / "run")


class InterruptedDestructor:
    """Send a signal in a destructor, because Python ignores exceptions there."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


class LostInterrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            InterruptedDestructor()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_resumable", [True, False])
def test_an_interrupt_whose_exception_was_lost_ends_the_training(
    laboratory, tmp_path, is_resumable
):
    run_dir = tmp_path / "run"
    with interrupt_handlers(), pytest.raises(KeyboardInterrupt):
        laboratory.fit(run_dir, callbacks=[LostInterrupt()], is_resumable=is_resumable)
    assert events_of(run_dir, EPOCH) in ([], [(EPOCH, 1)])
