import math

import numpy as np
import pytest

from pipeline.core.run_log import RunLog, read_events
from pipeline.records.epochs import epoch_records, flat_names, to_content

SCORES = {"mae": {"openness": 0.1, "mean": 0.2}, "r2": {"openness": -3.0, "mean": 0.5}}


def test_flat_names_of_means_are_metric_names():
    assert flat_names(SCORES) == {"mae_openness": 0.1, "mae": 0.2, "r2_openness": -3.0, "r2": 0.5}


def test_step_numbers_continue_across_epochs(record):
    second = record(epoch=2, first_step=4)
    assert second.steps.numbers == [4, 5, 6]
    assert second.last_step == 6


def test_logs_have_the_names_of_keras(record):
    logs = record(epoch=1).logs()
    assert {"loss", "mae", "r2_openness", "val_loss", "val_mae", "learning_rate"} <= set(logs)
    assert logs["val_loss"] == 0.6
    logs = record(epoch=1, val_loss=None, val_metrics=None).logs()
    assert not [name for name in logs if name.startswith("val_")]


@pytest.mark.parametrize("changes", [{}, {"val_loss": None, "val_metrics": None}])
def test_records_in_the_run_log_read_back_exactly(record, tmp_path, changes):
    records = [
        record(epoch=1, loss=0.1 + 0.2, **changes),
        record(epoch=2, first_step=4, loss=float(np.float32(0.1)), **changes),
    ]
    run_log = RunLog(tmp_path / "events.jsonl")
    for each in records:
        run_log.log_epoch(to_content(each))
        run_log.log_system_metrics({}, step=0)
    assert epoch_records(read_events(run_log.path)) == records


def test_nan_reads_back_as_nan(record, tmp_path):
    run_log = RunLog(tmp_path / "events.jsonl")
    run_log.log_epoch(to_content(record(epoch=1, loss=math.nan)))
    (found,) = epoch_records(read_events(run_log.path))
    assert math.isnan(found.loss)
