"""The logs are files that are whole at any time, and written anew after every epoch."""

import json
import math

import pytest

from pipeline.records.metrics_history import history_content
from pipeline.training.callbacks import (
    LearningRateTrackerCallback,
    PerformanceMonitorCallback,
    TimeTrackingCallback,
)
from pipeline.training.recorder import EpochRecorder


@pytest.mark.parametrize(
    ("callback_type", "name"),
    [
        (PerformanceMonitorCallback, "metrics_history.json"),
        (TimeTrackingCallback, "time_logs.json"),
        (LearningRateTrackerCallback, "lr_logs.json"),
    ],
)
class TestFile:
    def test_it_has_the_name_that_tools_look_for(self, tmp_path, callback_type, name):
        assert callback_type(tmp_path, EpochRecorder(None)).path == tmp_path / name

    def test_it_is_there_before_the_first_epoch_is_over(self, tmp_path, callback_type, name):
        callback_type(str(tmp_path / "log"), EpochRecorder(None)).on_train_begin()
        assert json.loads((tmp_path / "log" / name).read_text())

    def test_a_resumed_run_begins_with_the_epochs_behind_it(
        self, tmp_path, record, callback_type, name
    ):
        callback_type(tmp_path, EpochRecorder(None, [record()])).on_train_begin()
        before = (tmp_path / name).read_text()
        callback_type(tmp_path, EpochRecorder(None, [record()])).on_epoch_end(0)
        assert (tmp_path / name).read_text() == before

    def test_the_time_that_writing_takes_is_measured(
        self, tmp_path, callback_type, name, monkeypatch
    ):
        ticks = iter([1.0, 1.5, 7.0, 7.25])
        monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
        callback = callback_type(tmp_path, EpochRecorder(None))
        callback.on_train_begin()
        callback.on_epoch_end(0)
        assert callback.seconds == 0.75


def test_the_file_holds_the_log_of_the_records(tmp_path, record):
    records = [record(), record(epoch=2, first_step=4)]
    callback = PerformanceMonitorCallback(
        tmp_path, EpochRecorder(None, records), batch_log_frequency=2
    )
    callback.on_epoch_end(1)
    assert json.loads(callback.path.read_text()) == history_content(records, frequency=2)


def test_a_value_that_is_no_number_becomes_null(tmp_path, record):
    callback = PerformanceMonitorCallback(tmp_path, EpochRecorder(None, [record(loss=math.nan)]))
    callback.on_epoch_end(0)
    log = json.loads(callback.path.read_text(), parse_constant=pytest.fail)
    assert log["epoch"]["loss"] == [None]
