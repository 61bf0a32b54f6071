import json
import math

import pytest

from pipeline.core.run_log import Event
from pipeline.core.traits import TRAITS
from pipeline.tracking import mlflow_entities
from tests.tracking.conftest import epoch_content


def event(kind, **content):
    return Event(kind=kind, time_ms=1_700_000_000_000, content=content, start=0, end=1)


@pytest.fixture
def epoch():
    return event("epoch", **epoch_content(2, num_steps=10))


def by_name(event, *, step_stride=100):
    metrics = mlflow_entities.metrics(event, step_stride=step_stride)
    return {metric.key: metric for metric in metrics}


def test_traits_of_a_metric_share_a_path(epoch):
    for subset in ("train", "validation"):
        assert {f"{subset}/mae/{trait}" for trait in ("mean", *TRAITS)} < set(by_name(epoch))


def test_the_step_of_an_epoch_metric_is_the_epoch(epoch):
    metric = by_name(epoch)["validation/loss"]
    assert (metric.step, metric.value, metric.timestamp) == (2, 1.0, epoch.time_ms)


def test_a_batch_metric_has_its_global_step_and_its_time(epoch):
    metrics = mlflow_entities.metrics(epoch, step_stride=1)
    losses = [metric for metric in metrics if metric.key == "batch/loss"]
    assert [metric.step for metric in losses] == list(range(11, 21))
    assert losses[0].timestamp == 1_700_000_000_011
    assert losses[1].value == 0.25


def test_a_stride_selects_the_steps_that_it_divides(epoch):
    metrics = mlflow_entities.metrics(epoch, step_stride=4)
    assert [metric.step for metric in metrics if metric.key == "batch/mae"] == [12, 16, 20]


def test_step_times_are_median_and_95th_percentile(epoch):
    epoch.content["steps"]["seconds"] = [0.001 * number for number in range(1, 11)]
    metrics = by_name(epoch)
    assert metrics["time/step_ms_median"].value == pytest.approx(5.5)
    assert metrics["time/step_ms_p95"].value == pytest.approx(9.55)
    assert metrics["time/input_wait_seconds"].value == pytest.approx(0.01)


def test_an_epoch_without_validation_has_no_validation_metrics(epoch):
    epoch.content.update(val_loss=None, val_metrics=None)
    assert not [name for name in by_name(epoch) if name.startswith("validation/")]


def test_values_that_are_not_finite_are_left_out():
    values = {"a": math.nan, "b": math.inf, "c": None, "d": 0.5}
    metrics = by_name(event("metrics", step=0, metrics=values))
    assert {name: metric.value for name, metric in metrics.items()} == {"d": 0.5}


def test_other_events_have_no_metrics():
    assert by_name(event("checkpoint", epoch=1)) == {}


def test_empty_parameters_are_left_out_and_long_values_are_cut():
    values = {"config.a": "", "config.b": 0, "config.c": "x" * 10_000}
    sent = mlflow_entities.params(event("params", params=values))
    assert [(param.key, param.value) for param in sent] == [
        ("config.b", "0"),
        ("config.c", "x" * 6000),
    ]


def test_each_subset_is_a_data_set():
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
