"""The run log's events, as MLflow metrics, parameters, tags and inputs.

Metric names are paths: the MLflow UI makes one section of everything before the last
slash, so that `validation/mae/openness` stands beside the other four traits.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from pipeline.core.run_log import ATTENTION, EPOCH, METRICS, SYSTEM_METRICS, Event

_MAX_PARAM_LENGTH = 6000


def metrics(event: Event, *, step_stride: int) -> list[Metric]:
    """Return the metrics of an event; an event of another kind has none."""
    if event.kind == EPOCH:
        return epoch_metrics(event, step_stride=step_stride)
    if event.kind in (METRICS, SYSTEM_METRICS):
        return plain_metrics(event)
    if event.kind == ATTENTION:
        return attention_metrics(event)
    return []


def epoch_metrics(event: Event, *, step_stride: int) -> list[Metric]:
    """Return the metrics of an `epoch` event; the step of an epoch metric is the epoch."""
    content = event.content
    values = {
        "train/loss": content["loss"],
        "validation/loss": content["val_loss"],
        "train/learning_rate": content["learning_rate"],
        **_trait_paths("train", content["metrics"]),
        **_trait_paths("validation", content["val_metrics"] or {}),
        **_timing(content),
    }
    return [
        *_metrics(values, step=content["epoch"], time_ms=event.time_ms),
        *_step_metrics(content["steps"], step_stride),
    ]


def plain_metrics(event: Event) -> list[Metric]:
    """Return the metrics of a `metrics` or `system` event."""
    content = event.content
    return _metrics(content["metrics"], step=content["step"], time_ms=event.time_ms)


def attention_metrics(event: Event) -> list[Metric]:
    """Return the entropies of an `attention` event: one section a map, one chart a head."""
    content = event.content
    values = {
        f"attention_entropy/{name}/head_{head}": entropy
        for name, heads in content["entropy"].items()
        for head, entropy in enumerate(heads, start=1)
    }
    return _metrics(values, step=content["epoch"], time_ms=event.time_ms)


def params(event: Event) -> list[Param]:
    """Return the parameters of a `params` event; settings that are empty are left out."""
    return [
        Param(name, str(value)[:_MAX_PARAM_LENGTH])
        for name, value in event.content["params"].items()
        if value != ""
    ]


def tags(event: Event) -> list[RunTag]:
    """Return the tags of a `tags` event."""
    return [RunTag(name, str(value)) for name, value in event.content["tags"].items()]


def dataset_inputs(event: Event) -> list[DatasetInput]:
    """Return the data sets of a `dataset` event, one a split."""
    content = event.content
    return [
        DatasetInput(
            dataset=Dataset(
                # MLflow keeps one input of a name and digest, so that each split needs a name.
                name=f"{content['name']} ({split})",
                digest=content["digest"][:36],
                source_type="local",
                source=json.dumps({"uri": content["source"]}),
                profile=json.dumps({**content["profile"], "split": split, "num_clips": count}),
            ),
            tags=[InputTag("mlflow.data.context", split)],
        )
        for split, count in content["splits"].items()
    ]


def _trait_paths(split: str, scores: dict[str, dict[str, float]]) -> dict[str, float]:
    return {
        f"{split}/{metric}/{trait}": value
        for metric, traits in scores.items()
        for trait, value in traits.items()
    }


def _timing(content: dict[str, Any]) -> dict[str, float]:
    seconds = content["steps"]["seconds"]
    return {
        "time/epoch_seconds": content["train_seconds"],
        "time/validation_seconds": content["validation_seconds"],
        "time/step_ms_median": 1000 * float(np.median(seconds)),
        "time/step_ms_p95": 1000 * float(np.quantile(seconds, 0.95)),
        "time/input_wait_seconds": sum(content["steps"]["wait_seconds"]),
    }


def _step_metrics(steps: dict[str, Any], stride: int) -> Iterator[Metric]:
    for index, time_ms in enumerate(steps["time_ms"]):
        number = steps["first_step"] + index
        if number % stride == 0:
            values = {
                f"batch/{name}": steps[name][index] for name in ("loss", "mae", "learning_rate")
            }
            yield from _metrics(values, step=number, time_ms=time_ms)


def _metrics(values: dict[str, float | None], *, step: int, time_ms: int) -> list[Metric]:
    return [
        Metric(name, float(value), time_ms, step)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]
