"""Convert run-log events to MLflow metrics, parameters, tags and data sets.

Metric names are paths, e.g. `validation/mae/openness`. Because the MLflow UI groups metrics by the
part before the last slash, it shows the MAE of all traits together.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from pipeline.core.run_log import ATTENTION, EPOCH, METRICS, SYSTEM_METRICS, Event

_MAX_PARAM_LENGTH = 6000


def metrics(event: Event, *, step_stride: int) -> list[Metric]:
    """Return the metrics of an event; [] if events of this kind have no metrics.

    For an epoch, the result includes the metrics of every `step_stride`-th training step.
    """
    content = event.content
    if event.kind == EPOCH:
        return _epoch_metrics(event, step_stride)
    if event.kind in (METRICS, SYSTEM_METRICS):
        return _metrics(content["metrics"], step=content["step"], time_ms=event.time_ms)
    if event.kind == ATTENTION:  # one section per attention map, one chart per head
        values = {
            f"attention_entropy/{name.replace('+', '.')}/head_{head}": entropy  # no + in MLflow
            for name, heads in content["entropy"].items()
            for head, entropy in enumerate(heads, start=1)
        }
        return _metrics(values, step=content["epoch"], time_ms=event.time_ms)
    return []


def params(event: Event) -> list[Param]:
    """Return the parameters of a `params` event. Parameters with an empty value are left out."""
    return [
        Param(name, str(value)[:_MAX_PARAM_LENGTH])
        for name, value in event.content["params"].items()
        if value != ""
    ]


def tags(event: Event) -> list[RunTag]:
    """Return the tags of a `tags` event."""
    return [RunTag(name, str(value)) for name, value in event.content["tags"].items()]


def dataset_inputs(event: Event) -> list[DatasetInput]:
    """Return the data sets of a `dataset` event, one per subset of the clips."""
    content = event.content
    return [
        DatasetInput(
            dataset=Dataset(
                # Each subset needs its own name, because MLflow stores one input per name and hash.
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


def _epoch_metrics(event: Event, step_stride: int) -> list[Metric]:
    content = event.content
    seconds = content["steps"]["seconds"]
    values = {
        "train/loss": content["loss"],
        "validation/loss": content["val_loss"],
        "train/learning_rate": content["learning_rate"],
        **_trait_paths("train", content["metrics"]),
        **_trait_paths("validation", content["val_metrics"] or {}),
        "time/epoch_seconds": content["train_seconds"],
        "time/validation_seconds": content["validation_seconds"],
        "time/step_ms_median": 1000 * float(np.median(seconds)),
        "time/step_ms_p95": 1000 * float(np.quantile(seconds, 0.95)),
        "time/input_wait_seconds": sum(content["steps"]["wait_seconds"]),
    }
    return [
        *_metrics(values, step=content["epoch"], time_ms=event.time_ms),
        *_step_metrics(content["steps"], step_stride),
    ]


def _trait_paths(split: str, scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {
        f"{split}/{metric}/{trait}": value
        for metric, traits in scores.items()
        for trait, value in traits.items()
    }


def _step_metrics(steps: Mapping[str, Any], stride: int) -> Iterator[Metric]:
    for index, time_ms in enumerate(steps["time_ms"]):
        step = steps["first_step"] + index
        if step % stride == 0:
            names = ("loss", "mae", "learning_rate")
            values = {f"batch/{name}": steps[name][index] for name in names}
            yield from _metrics(values, step=step, time_ms=time_ms)


def _metrics(values: Mapping[str, float | None], *, step: int, time_ms: int) -> list[Metric]:
    return [
        Metric(name, float(value), time_ms, step)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]
