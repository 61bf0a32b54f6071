"""A fit keeps its best epoch, and comes to the same values however often it is interrupted."""

import json
import os
import shutil
import signal
from dataclasses import replace

import keras
import pytest

from pipeline.core.errors import ConfigError, RunError, TrainingError
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
    "learning_rate": 3.0,  # far too high: it improves for a while, then stands still
    "num_epochs": 12,
    "reduce_lr_patience": 1,
    "early_stopping_patience": 3,
}


class PlugPulledError(Exception):
    """What a test interrupts a run with."""


class PullPlug(keras.callbacks.Callback):
    """Ends a run in the middle of an epoch, or after its record and before its checkpoint."""

    def __init__(self, epoch: int, moment: str) -> None:
        super().__init__()
        self._when = (epoch, moment)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self._epoch, "batch") == self._when and batch >= 1:
            raise PlugPulledError

    def on_epoch_end(self, epoch, logs=None):
        if (self._epoch, "record") == self._when:
            raise PlugPulledError


class Script(keras.callbacks.Callback):
    """Gives the checkpoint scripted values to judge by, and keeps the weights of every epoch."""

    def __init__(self, values) -> None:
        super().__init__()
        self._values = values
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        logs["val_mae"] = self._values[epoch]
        self.weights.append([each.numpy().tobytes() for each in self.model.network.variables])


def fit_with_interruptions(laboratory, run_dir, interruptions, **settings):
    for epoch, moment in interruptions:
        with pytest.raises(PlugPulledError):
            laboratory.fit(run_dir, callbacks=[PullPlug(epoch, moment)], **settings)
    return laboratory.fit(run_dir, **settings)


def untimed(record):
    steps = replace(record.steps, seconds=[], wait_seconds=[], time_ms=[])
    return replace(record, train_seconds=0.0, validation_seconds=0.0, steps=steps)


def logs_of(run):
    """The three JSON logs, without what a clock measured."""
    metrics = json.loads((run.metrics_dir / "metrics_history.json").read_text())
    times = json.loads((run.time_dir / "time_logs.json").read_text())
    rates = json.loads((run.learning_rate_dir / "lr_logs.json").read_text())
    numbers = {name: times[name] for name in ("epoch_numbers", "batch_numbers")}
    return {"epoch": metrics["epoch"], "batch": metrics["batch"]}, numbers, rates


def assert_same_run(one, other, laboratory):
    ((inputs, _),) = laboratory.validation().dataset()
    predictions = [each.network.predict(inputs, verbose=0).tobytes() for each in (one, other)]
    assert predictions[0] == predictions[1]
    assert one.weights == other.weights
    assert one.result.history.history == other.result.history.history
    assert one.result.history.epoch == other.result.history.epoch
    assert one.result.best_epoch == other.result.best_epoch
    assert one.result.best_value == other.result.best_value
    records = [[untimed(record) for record in each.result.records] for each in (one, other)]
    assert records[0] == records[1]
    assert logs_of(one.run) == logs_of(other.run)


@pytest.fixture(scope="module")
def cosine(laboratory, tmp_path_factory):
    """Five epochs, never interrupted."""
    return laboratory.fit(tmp_path_factory.mktemp("cosine"), **COSINE)


class TestResume:
    def test_an_interrupted_run_comes_to_the_same_values(self, laboratory, cosine, tmp_path):
        interruptions = [(3, "batch"), (4, "record")]
        resumed = fit_with_interruptions(laboratory, tmp_path, interruptions, **COSINE)
        assert_same_run(cosine, resumed, laboratory)

    def test_the_state_of_plateaus_and_early_stopping_survives(self, laboratory, tmp_path):
        whole = laboratory.fit(tmp_path / "whole", **PLATEAU)
        rates = [record.learning_rate for record in whole.result.records]
        num_epochs = len(rates)
        assert rates[-1] < rates[-2] < rates[0]
        assert 1 < whole.result.best_epoch < num_epochs < PLATEAU["num_epochs"]

        # The last two epochs: the counters of both callbacks stand above zero by then.
        interruptions = [(num_epochs - 1, "record"), (num_epochs, "batch")]
        resumed = fit_with_interruptions(laboratory, tmp_path / "resumed", interruptions, **PLATEAU)
        assert_same_run(whole, resumed, laboratory)

    def test_a_kill_before_the_first_record_begins_anew(self, laboratory, cosine, tmp_path):
        run_log = RunLog(tmp_path / "events.jsonl")
        run_log.log_params({})
        run_log.log_status("KILLED", reason="interrupted")
        resumed = laboratory.fit(tmp_path, **COSINE)
        assert_same_run(cosine, resumed, laboratory)
        kinds = [event.kind for event in effective_events(read_events(run_log.path))]
        assert kinds[:4] == ["params", FINISHED, RESUMED, EPOCH]

    def test_a_kill_before_the_first_checkpoint_takes_the_record_back(
        self, laboratory, cosine, tmp_path
    ):
        resumed = fit_with_interruptions(laboratory, tmp_path, [(1, "record")], **COSINE)
        assert_same_run(cosine, resumed, laboratory)
        told = list(read_events(tmp_path / "events.jsonl"))
        epochs = [event.content["epoch"] for event in told if event.kind == EPOCH]
        assert epochs == [1, 1, 2, 3, 4, 5]
        assert epoch_records(effective_events(told)) == resumed.result.records

    def test_a_kill_between_a_commit_and_its_word_loses_no_epoch(
        self, laboratory, cosine, tmp_path, monkeypatch
    ):
        append = RunLog.append

        def pull_plug(run_log, kind, **content):
            if (kind, content.get("epoch")) == (CHECKPOINT, 2):
                raise PlugPulledError
            append(run_log, kind, **content)

        monkeypatch.setattr(RunLog, "append", pull_plug)
        with pytest.raises(PlugPulledError):
            laboratory.fit(tmp_path, **COSINE)
        monkeypatch.undo()
        assert read_last_state(tmp_path / "checkpoints").epoch == 2

        assert_same_run(cosine, laboratory.fit(tmp_path, **COSINE), laboratory)
        told = [(e.kind, e.content["epoch"]) for e in read_events(tmp_path / "events.jsonl")]
        assert told[:6] == [
            (EPOCH, 1),
            (CHECKPOINT, 1),
            (EPOCH, 2),
            (CHECKPOINT, 2),
            (RESUMED, 2),
            (EPOCH, 3),
        ]

    def test_a_run_that_is_complete_is_left_as_it_is(self, laboratory, cosine, tmp_path):
        run_dir = tmp_path / "run"
        shutil.copytree(cosine.run.path, run_dir)
        before = contents(run_dir)
        again = laboratory.fit(run_dir, **COSINE)
        assert_same_run(cosine, again, laboratory)
        assert contents(run_dir) == before

    def test_a_run_log_that_lost_its_epochs_is_refused(self, laboratory, cosine, tmp_path):
        run_dir = tmp_path / "run"
        shutil.copytree(cosine.run.path, run_dir)
        (run_dir / "events.jsonl").write_bytes(b"")
        with pytest.raises(RunError, match=r"events\.jsonl: is not as it was at the checkpoint"):
            laboratory.fit(run_dir, **COSINE)


class TestDamagedCheckpoint:
    @pytest.mark.parametrize("name", ["network.npz", "optimizer.npz", "state.json"])
    def test_a_run_resumes_from_the_one_before_to_the_same_values(
        self, laboratory, cosine, tmp_path, name
    ):
        with pytest.raises(PlugPulledError):
            laboratory.fit(tmp_path, callbacks=[PullPlug(4, "batch")], **COSINE)
        path = tmp_path / "checkpoints" / "epoch-00003" / name
        path.unlink()
        path.mkdir()
        resumed = laboratory.fit(tmp_path, **COSINE)
        assert_same_run(cosine, resumed, laboratory)

    def test_epochs_that_are_trained_again_are_told_once(self, laboratory, tmp_path):
        whole = laboratory.fit(tmp_path, **COSINE)
        shutil.rmtree(tmp_path / "checkpoints" / "epoch-00005")
        again = laboratory.fit(tmp_path, **COSINE)
        told = [event.content["epoch"] for event in read_events(tmp_path / "events.jsonl")]
        assert told == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 4]  # epoch and checkpoint, then resumed
        assert again.weights == whole.weights
        assert again.result.records == whole.result.records

    def test_two_interruptions_and_a_damaged_checkpoint_tell_each_epoch_once(
        self, laboratory, cosine, tmp_path
    ):
        for _ in range(2):  # the second time from the checkpoint of epoch 3
            with pytest.raises(PlugPulledError):
                laboratory.fit(tmp_path, callbacks=[PullPlug(4, "batch")], **COSINE)
        shutil.rmtree(tmp_path / "checkpoints" / "epoch-00003")
        assert_same_run(cosine, laboratory.fit(tmp_path, **COSINE), laboratory)
        events = list(read_events(tmp_path / "events.jsonl"))
        epochs = [event.content["epoch"] for event in events if event.kind == EPOCH]
        assert epochs == [1, 2, 3, 4, 5]

    def test_without_any_checkpoint_a_run_with_epochs_is_refused(self, laboratory, tmp_path):
        with pytest.raises(PlugPulledError):
            laboratory.fit(tmp_path, callbacks=[PullPlug(3, "batch")], **COSINE)
        shutil.rmtree(tmp_path / "checkpoints")
        with pytest.raises(RunError, match="checkpoints: holds no intact checkpoint"):
            laboratory.fit(tmp_path, **COSINE)


class TestWithoutResume:
    def test_it_comes_to_the_same_values_without_a_checkpoint(self, laboratory, tmp_path):
        values = [0.3, 0.1, 0.2, 0.2, 0.2]
        kept, lean = (
            laboratory.fit(
                tmp_path / name, callbacks=[Script(values)], is_resumable=is_resumable, **COSINE
            )
            for name, is_resumable in (("kept", True), ("lean", False))
        )
        assert_same_run(kept, lean, laboratory)
        assert lean.result.best_epoch == 2
        assert not lean.run.checkpoints_dir.exists()

    def test_without_validation_it_ends_with_the_last_epoch(self, laboratory, tmp_path):
        kept = laboratory.fit(tmp_path / "kept", validated=False, **COSINE)
        lean = laboratory.fit(tmp_path / "lean", validated=False, is_resumable=False, **COSINE)
        assert lean.weights == kept.weights

    def test_one_that_is_stopped_leaves_its_logs_and_epochs(self, laboratory, tmp_path):
        with pytest.raises(PlugPulledError):
            laboratory.fit(
                tmp_path, callbacks=[PullPlug(3, "record")], is_resumable=False, **COSINE
            )
        log = json.loads((tmp_path / "batch_metrics" / "metrics_history.json").read_text())
        assert log["epoch"]["epoch_numbers"] == [1, 2, 3]
        kinds = [event.kind for event in read_events(tmp_path / "events.jsonl")]
        assert kinds == [EPOCH, CHECKPOINT] * 2 + [EPOCH]


class TestReproduction:
    def test_the_same_seed_gives_the_same_bits(self, laboratory, cosine, tmp_path):
        again = laboratory.fit(tmp_path, steps_per_execution=2, **COSINE)
        assert_same_run(cosine, again, laboratory)

    def test_another_seed_gives_another_order(self, laboratory, cosine, tmp_path):
        other = laboratory.fit(tmp_path, seed=1, num_epochs=1)
        first, second = other.result.records[0], cosine.result.records[0]
        assert first.steps.loss != second.steps.loss


class TestBestEpoch:
    def test_its_weights_are_those_returned(self, laboratory, tmp_path):
        script = Script([0.3, 0.1, 0.2])
        fitted = laboratory.fit(tmp_path, callbacks=[script], num_epochs=3)
        assert fitted.result.best_epoch == 2
        assert fitted.result.monitor == "val_mae"
        assert fitted.weights == script.weights[1] != script.weights[2]

    def test_the_metric_decides_whether_more_is_better(self, laboratory, tmp_path):
        result = laboratory.fit(tmp_path, monitor="r2", num_epochs=3).result
        values = [record.val_metrics["r2"]["mean"] for record in result.records]
        assert result.monitor == "val_r2"
        assert result.best_value == max(values)
        assert values[result.best_epoch - 1] == max(values)

    def test_without_validation_it_is_the_last(self, laboratory, tmp_path):
        fitted = laboratory.fit(tmp_path, validated=False, num_epochs=2)
        assert (fitted.result.best_epoch, fitted.result.monitor) == (2, "loss")
        assert fitted.result.records[-1].val_metrics is None
        assert fitted.result.best_value == fitted.result.records[-1].loss


class TestStopping:
    def test_a_standstill_cuts_the_rate_then_stops(self, laboratory, tmp_path):
        # So small a rate moves no weight, and no epoch is better than the first.
        settings = {**PLATEAU, "learning_rate": 1e-12, "weight_decay": 0.0}
        result = laboratory.fit(tmp_path, **settings).result
        rates = [record.learning_rate for record in result.records]
        assert rates == pytest.approx([1e-12, 1e-12, 5e-13, 2.5e-13])
        assert result.best_epoch == 1
        assert read_last_state(tmp_path / "checkpoints").stopped

    def test_the_smallest_improvement_is_one(self, laboratory, tmp_path):
        settings = {**PLATEAU, "learning_rate": 1e-5, "num_epochs": 3, "reduce_lr_patience": 1}
        result = laboratory.fit(tmp_path, **settings).result
        first, second, third = (record.val_metrics["mae"]["mean"] for record in result.records)
        assert first - 1e-4 < second < first
        assert second - 1e-4 < third < second
        assert len({record.learning_rate for record in result.records}) == 1


class TestRefusal:
    def test_a_frozen_model_is_refused_before_anything_is_written(self, laboratory, tmp_path):
        network = laboratory.network()
        network.trainable = False
        with pytest.raises(TrainingError, match=r"^small: none of its 141 weights is trainable"):
            laboratory.fit(tmp_path, network=network)
        assert list(tmp_path.iterdir()) == []

    def test_a_model_without_weights_is_refused(self, laboratory, tmp_path):
        network = keras.Sequential([keras.layers.Dense(5)], name="lazy")
        with pytest.raises(TrainingError, match=r"^lazy: has no weights yet\. Call it on one"):
            laboratory.fit(tmp_path, network=network)

    def test_tensorboard_is_missed_before_the_first_step(self, laboratory, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ConfigError, match=r"needs TensorBoard, which is not installed\."):
            laboratory.fit(tmp_path, tensorboard=True)
        assert not list(read_events(tmp_path / "events.jsonl"))


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"batch_size": 1}, "every batch holds one clip"),
        ({"batch_size": 43}, "the last batch of an epoch holds one clip"),
        ({"batch_size": 43, "loss": {"mse": 1.0, "ccc": 0.5}}, "learns nothing"),
        ({"batch_size": 16}, ""),
        ({"batch_size": 1, "loss": "mse"}, ""),
    ],
)
def test_batches_of_one_clip_are_warned_of_where_the_loss_is_ccc(
    laboratory, tmp_path, caplog, settings, warning
):
    laboratory.fit(tmp_path, num_epochs=1, **{"loss": "ccc", **settings})
    assert (warning in caplog.text) if warning else (caplog.text == "")


class TestRunLog:
    def test_a_run_that_was_never_interrupted_tells_of_no_resume(self, laboratory, tmp_path):
        run_log = RunLog(tmp_path / "events.jsonl")
        run_log.log_params({})
        laboratory.fit(tmp_path, num_epochs=1)
        assert [event.kind for event in read_events(run_log.path)] == ["params", EPOCH, CHECKPOINT]

    def test_its_epochs_are_the_records_of_the_result(self, cosine):
        assert epoch_records(read_events(cosine.run.run_log_path)) == cosine.result.records

    def test_steps_are_numbered_through_the_run(self, cosine):
        numbers = [number for record in cosine.result.records for number in record.steps.numbers]
        assert numbers == list(range(1, 16))

    def test_the_loss_falls(self, cosine):
        losses = [record.loss for record in cosine.result.records]
        assert losses[-1] < 0.9 * losses[0]


def contents(run_dir):
    """Every file of a run by name, but for the word of its resumption in the run log."""
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    told = [event for event in read_events(run_dir / "events.jsonl") if event.kind != RESUMED]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".jsonl"}, told


def test_an_interrupt_while_a_step_reads_the_clock_is_an_interrupt(
    laboratory, tmp_path, monkeypatch
):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.training.instrumented_model._clock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        laboratory.fit(tmp_path / "run")


class InterruptedDestructor:
    """Receives a signal where Python drops the exception of its handler."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


class SwallowedInterrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            InterruptedDestructor()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_resumable", [True, False])
def test_an_interrupt_that_was_swallowed_ends_the_training(laboratory, tmp_path, is_resumable):
    with interrupt_handlers(), pytest.raises(KeyboardInterrupt):
        laboratory.fit(
            tmp_path / "run", callbacks=[SwallowedInterrupt()], is_resumable=is_resumable
        )
    events = read_events(tmp_path / "run" / "events.jsonl")
    assert [event.content["epoch"] for event in events if event.kind == EPOCH] in ([], [1])
