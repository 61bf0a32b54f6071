from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.training.instrumented_model import StepTrace
from pipeline.training.recorder import EpochRecorder

TRAIN, VALIDATION = {"mae": {"mean": 0.1}}, {"mae": {"mean": 0.2}}


def trace(*, begin, end) -> StepTrace:
    return StepTrace(
        begin=np.array(begin),
        end=np.array(end),
        loss=np.array([0.3, 0.2, 0.1]),
        mae=np.array([0.5, 0.4, 0.3]),
        mse=np.array([0.3, 0.2, 0.1]),
        learning_rate=np.array([0.1, 0.2, 0.15]),
    )


@pytest.fixture
def model():
    """A replacement for an `InstrumentedModel`, with fixed measurements."""
    model = SimpleNamespace(trace=trace(begin=[10.0, 11.0, 12.5], end=[10.5, 12.0, 13.0]))
    model.moments = SimpleNamespace(trait_metrics=lambda: model.scores)
    model.start_trace = lambda: None
    model.read_trace = lambda: model.trace
    return model


def build_recorder(model, records=()) -> EpochRecorder:
    recorder = EpochRecorder(SimpleNamespace(log_epoch=lambda content: None), records)
    recorder.set_model(model)
    return recorder


def run_epoch(recorder, epoch=0, *, has_validation=True):
    """Call the recorder as Keras does; return the logs for later callbacks."""
    recorder.model.scores = TRAIN
    recorder.on_epoch_begin(epoch)
    logs = {"loss": 0.25}
    if has_validation:
        recorder.on_test_begin()
        recorder.model.scores = VALIDATION
        recorder.on_test_end()
        logs["val_loss"] = 0.35
    recorder.on_epoch_end(epoch, logs)
    return logs


def test_an_epoch_is_recorded(model):
    recorder = build_recorder(model)
    logs = run_epoch(recorder)
    (record,) = recorder.records
    assert (record.epoch, record.loss, record.val_loss) == (1, 0.25, 0.35)
    # The training scores are read before validation.
    assert (record.metrics, record.val_metrics) == (TRAIN, VALIDATION)
    assert record.steps.loss == [0.3, 0.2, 0.1]
    assert record.steps.mae == [0.5, 0.4, 0.3]
    assert record.learning_rate == 0.15  # the rate of the last step
    assert logs == {
        "loss": 0.25,
        "mae": 0.1,
        "val_loss": 0.35,
        "val_mae": 0.2,
        "learning_rate": 0.15,
    }


def test_a_resumed_run_continues_its_records(model, record):
    before = [record(epoch=1), record(epoch=2, first_step=4)]
    recorder = build_recorder(model, records=before)
    run_epoch(recorder, epoch=2)
    assert [each.epoch for each in recorder.records] == [1, 2, 3]
    assert recorder.records[-1].steps.numbers == [7, 8, 9]
    assert len(before) == 2


def test_step_times_are_differences_of_the_trace(model, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 8.0)
    recorder = build_recorder(model)
    run_epoch(recorder)
    steps = recorder.records[0].steps
    assert steps.seconds == [0.5, 1.0, 0.5]
    # The first waiting time begins with the epoch, and each other time with the end of a step.
    assert steps.wait_seconds == [2.0, 0.5, 0.5]
    assert steps.time_ms == [10_500, 12_000, 13_000]


def test_a_waiting_time_is_never_negative(model):
    # The clock was set back while the first batch was loaded.
    model.trace = trace(begin=[1.0, 2.0, 3.0], end=[1.5, 2.5, 3.5])
    recorder = build_recorder(model)
    run_epoch(recorder)
    assert min(recorder.records[0].steps.wait_seconds) == 0.0


def test_training_and_validation_times_are_separate(model, monkeypatch):
    ticks = iter([0.0, 5.0, 5.0, 7.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    recorder = build_recorder(model)
    run_epoch(recorder)
    assert recorder.records[0].train_seconds == 5.0
    assert recorder.records[0].validation_seconds == 2.0
