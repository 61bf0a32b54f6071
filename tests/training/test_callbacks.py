import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
import rich.console

from pipeline.core import progress_lines
from pipeline.core.errors import TrainingError
from pipeline.core.run_log import EPOCH, read_events
from pipeline.records.metrics_history import history_content
from pipeline.training.callbacks import (
    EpochEndTimer,
    LearningRateTrackerCallback,
    NonFiniteLossGuard,
    PerformanceMonitorCallback,
    ProgressBar,
    TimeTrackingCallback,
)
from pipeline.training.checkpoint import read_last_state
from pipeline.training.recorder import EpochRecorder

EXPLODING = {"schedule": "constant", "learning_rate": 1e25, "gradient_clip_norm": 0.0}


@pytest.mark.parametrize(
    ("callback_type", "name"),
    [
        (PerformanceMonitorCallback, "metrics_history.json"),
        (TimeTrackingCallback, "time_logs.json"),
        (LearningRateTrackerCallback, "lr_logs.json"),
    ],
)
def test_a_log_is_written_before_the_first_epoch_and_the_time_is_measured(
    tmp_path, callback_type, name, monkeypatch
):
    ticks = iter([1.0, 1.5, 7.0, 7.25])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    callback = callback_type(str(tmp_path / "log"), EpochRecorder(None, []))
    callback.on_train_begin()
    assert json.loads((tmp_path / "log" / name).read_text())
    callback.on_epoch_end(0)
    assert callback.seconds == 0.75


def test_the_log_contains_the_records(tmp_path, record):
    records = [record(), record(epoch=2, first_step=4)]
    callback = PerformanceMonitorCallback(
        tmp_path, EpochRecorder(None, records), batch_log_frequency=2
    )
    callback.on_epoch_end(1)
    assert json.loads(callback.path.read_text()) == history_content(records, frequency=2)


def test_the_time_at_the_end_of_an_epoch_has_parts(monkeypatch):
    ticks = iter([10.0, 13.0, 20.0, 24.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    timer = EpochEndTimer()
    for epoch in range(2):
        timer.first.on_epoch_end(epoch, {})
        timer.last.on_epoch_end(epoch, {})
    log, longer_log, checkpoint = (SimpleNamespace(seconds=each) for each in (1.5, 9.0, 2.0))
    parts = {"logging": 1.5, "checkpoint": 2.0, "callbacks": 3.5}
    assert timer.parts([log], checkpoint) == parts
    # The logs are also written when the training begins.
    assert timer.parts([longer_log], checkpoint)["callbacks"] == 0.0


class TestNonFiniteLoss:
    @pytest.fixture
    def guard(self):
        guard = NonFiniteLossGuard()
        losses = np.array([0.5, np.nan, np.nan])
        guard.set_model(SimpleNamespace(read_trace=lambda: SimpleNamespace(loss=losses)))
        guard.on_epoch_begin(6)
        return guard

    def test_the_error_names_the_epoch_and_the_first_step(self, guard):
        with pytest.raises(TrainingError, match=r"nan in epoch 7, step 2\. Lower"):
            guard.on_train_batch_end(2, {"loss": np.nan})

    @pytest.mark.parametrize("logs", [{"loss": 0.0}, {"loss": 0.5}, {"loss": 1e30}])
    def test_a_finite_loss_is_no_error(self, guard, logs):
        guard.on_train_batch_end(2, logs)
        guard.on_epoch_end(6, logs)
        guard.on_epoch_end(6, {**logs, "val_loss": logs["loss"]})

    @pytest.mark.parametrize("loss", [np.nan, np.inf])
    def test_the_validation_loss_is_checked_too(self, guard, loss):
        with pytest.raises(TrainingError, match=rf"validation loss became {loss} in epoch 7, "):
            guard.on_epoch_end(6, {"loss": 0.5, "val_loss": loss})

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"steps_per_execution": 1}, r"The loss became inf in epoch 1, step 2\."),
            ({"steps_per_execution": 3}, r"The loss became inf in epoch 1, step 2\."),
            # One step with a finite loss gives infinite weights.
            ({"batch_size": 44, "num_epochs": 1}, "The validation loss became inf in epoch 1"),
        ],
    )
    def test_an_exploding_run_stops_without_a_checkpoint(
        self, laboratory, tmp_path, settings, message
    ):
        network = laboratory.network(activation="linear")
        with pytest.raises(TrainingError, match=message):
            laboratory.fit(tmp_path, network=network, **settings, **EXPLODING)
        assert read_last_state(tmp_path / "checkpoints") is None
        assert EPOCH not in {event.kind for event in read_events(tmp_path / "events.jsonl")}


class TestProgressBar:
    @staticmethod
    def show(scores, *, terminal=True, first_epoch=0, monitor="val_mae", **settings) -> str:
        """Return the output for epochs with these scores."""
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=terminal, width=200)
        bar = ProgressBar(9, console=console, monitor=monitor, **{"maximize": False, **settings})
        bar.on_train_begin()
        for epoch, score in enumerate(scores, start=first_epoch):
            bar.on_epoch_begin(epoch)
            bar.on_epoch_end(epoch, {"loss": 0.5, monitor: score})
        bar.close()
        return stream.getvalue()

    @pytest.mark.parametrize(
        ("scores", "settings", "text"),
        [
            ([0.4, 0.2, 0.3], {}, "loss 0.5000  val_mae 0.3000  best 0.2000"),
            ([0.4, 0.3], {"monitor": "val_r2", "maximize": True}, "val_r2 0.3000  best 0.4000"),
            ([0.3], {"first_epoch": 4, "best": 0.1}, "val_mae 0.3000  best 0.1000"),
            ([0.3], {"first_epoch": 4}, "epoch 5/9"),
        ],
        ids=["smallest", "largest", "best before a resume", "epochs before a resume"],
    )
    def test_the_epoch_and_the_latest_and_best_value_are_shown(self, scores, settings, text):
        assert text in self.show(scores, **settings)

    def test_without_a_terminal_a_short_training_writes_nothing(self):
        assert self.show([0.4, 0.2], terminal=False) == ""

    def test_without_a_terminal_a_long_training_writes_lines(self, monkeypatch):
        monkeypatch.setattr(progress_lines, "LINE_SECONDS", 0.0)
        lines = self.show([0.4, 0.2], terminal=False).splitlines()
        assert lines[-1] == "epoch 2/9  training loss 0.5000  val_mae 0.2000  best 0.2000"

    def test_a_long_epoch_without_a_terminal_writes_its_steps(self, monkeypatch):
        monkeypatch.setattr(progress_lines, "LINE_SECONDS", 0.0)
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=False, width=200)
        bar = ProgressBar(9, console=console, monitor="val_mae", maximize=False)
        bar.set_params({"steps": 40})
        bar.on_train_begin()
        bar.on_epoch_begin(2)
        bar.on_train_batch_end(31)
        bar.close()
        assert stream.getvalue() == "epoch 3/9  step 32/40\n"

    def test_a_hidden_bar_writes_no_lines(self, monkeypatch):
        monkeypatch.setattr(progress_lines, "LINE_SECONDS", 0.0)
        assert self.show([0.4, 0.2], terminal=False, is_shown=False) == ""
