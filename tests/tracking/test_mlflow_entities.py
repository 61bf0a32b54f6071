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


def test_training_and_validation_of_a_metric_share_a_path(epoch):
    names = set(by_name(epoch))
    assert {"loss/train", "loss/val"} < names
    assert {"per_epoch/mae/train", "per_epoch/mae/val"} < names
    assert not [name for name in names if name.endswith(TRAITS)]


def test_the_step_of_an_epoch_metric_is_the_epoch(epoch):
    metric = by_name(epoch)["loss/val"]
    assert (metric.step, metric.value, metric.timestamp) == (2, 1.0, epoch.time_ms)


def test_the_headline_of_an_epoch_has_step_0(epoch):
    metric = by_name(epoch)["eval/val/r2"]
    assert (metric.step, metric.value, metric.timestamp) == (0, 0.2, epoch.time_ms)


def test_a_batch_metric_has_its_global_step_and_its_time(epoch):
    metrics = mlflow_entities.metrics(epoch, step_stride=1)
    losses = [metric for metric in metrics if metric.key == "step/loss"]
    assert [metric.step for metric in losses] == list(range(11, 21))
    assert losses[0].timestamp == 1_700_000_000_011
    assert losses[1].value == 0.25


def test_a_stride_selects_the_steps_that_it_divides(epoch):
    metrics = mlflow_entities.metrics(epoch, step_stride=4)
    assert [metric.step for metric in metrics if metric.key == "step/loss"] == [12, 16, 20]


def test_the_step_time_is_the_median(epoch):
    epoch.content["steps"]["seconds"] = [0.001 * number for number in range(1, 11)]
    metrics = by_name(epoch)
    assert metrics["speed/step_ms_median"].value == pytest.approx(5.5)
    assert metrics["speed/input_wait_seconds"].value == pytest.approx(0.01)


def test_an_epoch_without_validation_has_no_validation_metrics(epoch):
    epoch.content.update(val_loss=None, val_metrics=None)
    assert not [name for name in by_name(epoch) if name.endswith("/val") or "/val/" in name]


def test_values_that_are_not_finite_are_left_out():
    values = {"search/a": math.nan, "search/b": math.inf, "search/c": None, "search/d": 0.5}
    metrics = by_name(event("metrics", step=0, metrics=values))
    assert {name: metric.value for name, metric in metrics.items()} == {"search/d": 0.5}


def test_other_events_have_no_metrics():
    assert by_name(event("checkpoint", epoch=1)) == {}


def test_empty_parameters_are_left_out_and_long_values_are_cut():
    values = {"a": "", "b": 0, "c": "x" * 10_000, "d": None, "e": [], "f": "unknown"}
    sent = mlflow_entities.params(event("params", params=values))
    assert [(param.key, param.value) for param in sent] == [
        ("b", "0"),
        ("c", "x" * 6000),
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


def test_only_scores_of_the_model_are_linked_to_it_and_to_their_data():
    scored = event(
        "metrics",
        step=0,
        metrics={
            "evaluation/test/r2/mean": 0.5,
            "evaluation/other/r2/mean": 0.4,
            "reference/test/ccc/ridge": 0.3,
            "search/mae": 0.1,
        },
    )
    data = event("dataset", name="faces", digest="0" * 64, splits={"test": 3})
    linked = mlflow_entities.model_scores(scored, data, "m-1")
    found = {each.key: (each.model_id, each.dataset_name, each.dataset_digest) for each in linked}
    assert found == {
        "eval/test/r2": ("m-1", "faces (test)", "0" * 36),
        "eval/other/r2": ("m-1", None, None),
    }
