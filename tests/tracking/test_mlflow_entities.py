import json
import math

import pytest

from pipeline.core.run_log import Event
from pipeline.core.traits import TRAITS
from pipeline.tracking import mlflow_entities


def event(kind, **content):
    return Event(kind=kind, time_ms=1_700_000_000_000, content=content, start=0, end=1)


@pytest.fixture
def epoch_event(tell_epoch, tmp_path):
    from pipeline.core.run_log import RunLog, read_events

    run_log = RunLog(tmp_path / "events.jsonl")
    tell_epoch(run_log, 2, num_steps=10, committed=False)
    return next(read_events(run_log.path))


def by_name(metrics):
    return {metric.key: metric for metric in metrics}


def test_each_trait_has_a_path_beside_the_other_traits(epoch_event):
    names = set(by_name(mlflow_entities.epoch_metrics(epoch_event, step_stride=1)))
    for split in ("train", "validation"):
        assert {f"{split}/mae/{trait}" for trait in ("mean", *TRAITS)} < names


def test_the_step_of_an_epoch_metric_is_the_epoch(epoch_event):
    metrics = by_name(mlflow_entities.epoch_metrics(epoch_event, step_stride=1))
    assert metrics["validation/loss"].step == 2
    assert metrics["validation/loss"].value == 1.0
    assert metrics["validation/loss"].timestamp == epoch_event.time_ms


def test_a_batch_metric_has_its_global_step_and_the_time_it_was_measured(epoch_event):
    metrics = mlflow_entities.epoch_metrics(epoch_event, step_stride=1)
    losses = [metric for metric in metrics if metric.key == "batch/loss"]
    assert [metric.step for metric in losses] == list(range(11, 21))
    assert losses[0].timestamp == 1_700_000_000_011
    assert losses[1].value == 0.25


def test_a_stride_keeps_every_step_that_it_divides(epoch_event):
    metrics = mlflow_entities.epoch_metrics(epoch_event, step_stride=4)
    assert [metric.step for metric in metrics if metric.key == "batch/mae"] == [12, 16, 20]


def test_step_times_are_told_as_median_and_95th_percentile(epoch_event):
    seconds = [0.001 * number for number in range(1, 11)]
    epoch_event.content["steps"]["seconds"] = seconds
    metrics = by_name(mlflow_entities.epoch_metrics(epoch_event, step_stride=1))
    assert metrics["time/step_ms_median"].value == pytest.approx(5.5)
    assert metrics["time/step_ms_p95"].value == pytest.approx(9.55)
    assert metrics["time/input_wait_seconds"].value == pytest.approx(0.01)


def test_an_epoch_that_nothing_was_held_out_of_has_no_validation_metrics(epoch_event):
    epoch_event.content.update(val_loss=None, val_metrics=None)
    names = by_name(mlflow_entities.epoch_metrics(epoch_event, step_stride=1))
    assert not [name for name in names if name.startswith("validation/")]


def test_a_value_that_is_no_number_is_left_out_as_stores_disagree_on_it():
    metrics = {"a": math.nan, "b": math.inf, "c": None, "d": 0.5}
    sent = mlflow_entities.plain_metrics(event("metrics", step=0, metrics=metrics))
    assert [(metric.key, metric.value) for metric in sent] == [("d", 0.5)]


def test_settings_that_are_empty_are_left_out_of_the_parameters():
    sent = mlflow_entities.params(event("params", params={"config.a": "", "config.b": 0}))
    assert [(param.key, param.value) for param in sent] == [("config.b", "0")]


def test_a_parameter_that_mlflow_would_refuse_is_cut():
    (param,) = mlflow_entities.params(event("params", params={"config.long": "x" * 10_000}))
    assert len(param.value) == 6000


def test_each_side_of_the_split_is_a_data_set_with_its_role():
    inputs = mlflow_entities.dataset_inputs(
        event(
            "dataset",
            name="faces",
            digest="0123456789" * 6,
            source="features/faces",
            profile={"num_clips": 10},
            splits={"train": 8, "validation": 2},
        )
    )
    assert [each.tags[0].value for each in inputs] == ["train", "validation"]
    assert len({each.dataset.name for each in inputs}) == 2
    assert len(inputs[0].dataset.digest) == 36
    assert json.loads(inputs[1].dataset.profile) == {"num_clips": 2, "split": "validation"}
    assert json.loads(inputs[0].dataset.source) == {"uri": "features/faces"}
