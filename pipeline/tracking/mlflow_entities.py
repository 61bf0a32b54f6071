"""Convert run-log events to MLflow metrics, parameters, tags and data sets."""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from pipeline.core.run_log import EPOCH, METRICS, SYSTEM_METRICS, Event
from pipeline.tracking.metric_names import HEADLINE_METRICS, mlflow_name, split_of_model_score

_DIGEST_LENGTH = 36
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
    return []


def params(event: Event) -> list[Param]:
    """Return the parameters of a `params` event. Parameters without a value are left out."""
    return [
        Param(name, str(value)[:_MAX_PARAM_LENGTH])
        for name, value in event.content["params"].items()
        if value not in ("", "unknown", None, [], {})
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
                name=_dataset_name(content, split),
                digest=content["digest"][:_DIGEST_LENGTH],
                source_type="local",
                source=json.dumps({"uri": content["source"]}),
                profile=json.dumps({**content["profile"], "split": split, "num_clips": count}),
            ),
            tags=[InputTag("mlflow.data.context", split)],
        )
        for split, count in content["splits"].items()
    ]


def model_scores(event: Event, dataset: Event | None, model_id: str) -> list[Metric]:
    """Return the metrics of an event that are scores of the saved model, linked to the model.

    The scores are also linked to the data set of the event `dataset`, if it has their split.
    """
    linked = []
    for metric in metrics(event, step_stride=1) if event.kind == METRICS else ():
        split = split_of_model_score(metric.key)
        if split is None:
            continue
        content = dataset.content if dataset is not None else None
        if content is not None and split not in content["splits"]:
            content = None
        point = Metric(
            *(metric.key, metric.value, metric.timestamp, metric.step, model_id),
            dataset_name=_dataset_name(content, split) if content else None,
            dataset_digest=content["digest"][:_DIGEST_LENGTH] if content else None,
        )
        linked.append(point)
    return linked


def _dataset_name(content: Mapping[str, Any], split: str) -> str:
    return f"{content['name']} ({split})"


def _epoch_metrics(event: Event, step_stride: int) -> list[Metric]:
    content = event.content
    validation = content["val_metrics"] or {}
    values = {
        "train/loss": content["loss"],
        "validation/loss": content["val_loss"],
        **_means("train", content["metrics"]),
        **_means("validation", validation),
        "time/epoch_seconds": content["train_seconds"],
        "time/step_ms_median": 1000 * float(np.median(content["steps"]["seconds"])),
        "time/input_wait_seconds": sum(content["steps"]["wait_seconds"]),
    }
    # MLflow draws bars for metrics that have only step 0, and lists the metrics of a run in the
    # order of their first values. So the headline metrics begin with the first epoch, in step 0.
    newest = _means("evaluation/validation", validation, metrics=HEADLINE_METRICS)
    return [
        *_metrics(newest, step=0, time_ms=event.time_ms),
        *_metrics(values, step=content["epoch"], time_ms=event.time_ms),
        *_step_metrics(content["steps"], step_stride),
    ]


def _means(
    prefix: str,
    scores: Mapping[str, Mapping[str, float]],
    *,
    metrics: Collection[str] | None = None,
) -> dict[str, float]:
    return {
        f"{prefix}/{metric}/mean": traits["mean"]
        for metric, traits in scores.items()
        if metrics is None or metric in metrics
    }


def _step_metrics(steps: Mapping[str, Any], stride: int) -> Iterator[Metric]:
    for index, time_ms in enumerate(steps["time_ms"]):
        step = steps["first_step"] + index
        if step % stride == 0:
            names = ("loss", "learning_rate")
            values = {f"batch/{name}": steps[name][index] for name in names}
            yield from _metrics(values, step=step, time_ms=time_ms)


def _metrics(values: Mapping[str, float | None], *, step: int, time_ms: int) -> list[Metric]:
    return [
        Metric(name, float(value), time_ms, step)
        for key, value in values.items()
        if value is not None and math.isfinite(value) and (name := mlflow_name(key)) is not None
    ]
