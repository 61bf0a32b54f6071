"""Scores of a model on clips, beside what the baselines say of the same clips.

Legend: N clips, K traits.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import ModelError
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.data.batches import InferenceBatches, inference_batch_size
from pipeline.data.feature_set import FeatureSet
from pipeline.data.stream import PooledFeatures, Stream
from pipeline.evaluation.baselines import Baselines, fit_baselines
from pipeline.records.predictions import Predictions

_MOST_AT_ONCE: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Predictions of a model and of the baselines, for the same clips in the same order."""

    predictions: Predictions
    baselines: dict[str, FloatArray]
    """Baseline name -> scores, shape (N, K)."""


def score(
    network: keras.Model, baselines: Baselines, features: FeatureSet, rows: IntArray
) -> Scores:
    """Predict the clips `rows` with the model and with the baselines."""
    labels = features.checked_labels()[rows]
    return Scores(
        predictions=Predictions(
            clip_ids=features.clip_ids[rows],
            groups=features.groups[rows],
            y_pred=predict(network, features, rows),
            y_true=labels,
        ),
        baselines=baselines.predict(
            *_pooled(features, rows),
            labels=labels,
            groups=features.groups[rows],
            clip_ids=features.clip_ids[rows],
        ),
    )


def predict(network: keras.Model, features: FeatureSet, rows: IntArray) -> FloatArray:
    """Return the model's scores of the clips `rows`, shape (N, K), in their order.

    A model that takes masks scores features without any as those whose every step is there.

    Raises:
        ModelError: If the model was made for features of another shape.
    """
    refuse_unscorable(network, features)
    batch_size = inference_batch_size(features, max_size=_MOST_AT_ONCE)
    masked = masked_streams(network)
    batches = InferenceBatches(features, rows, batch_size=batch_size, masked=masked)
    scores = [network.predict_on_batch(list(inputs)) for inputs in batches]
    return np.concatenate(scores) if scores else np.zeros((0, NUM_TRAITS), np.float32)


def fit_run_baselines(features: FeatureSet, rows: IntArray, config: ExperimentConfig) -> Baselines:
    """Fit the baselines on the training clips `rows`."""
    return fit_baselines(
        *_pooled(features, rows),
        labels=features.checked_labels()[rows],
        groups=features.groups[rows],
        clip_ids=features.clip_ids[rows],
        seed=config.seed,
    )


def _pooled(features: FeatureSet, rows: IntArray) -> tuple[PooledFeatures, PooledFeatures]:
    return (
        PooledFeatures(stream=features.static, rows=rows),
        PooledFeatures(stream=features.dynamic, rows=rows),
    )


def concatenate_scores(parts: list[Scores]) -> Scores:
    """Join the scores of several folds.

    The training mean of a fold is low where its held-out clips are high: pooled as they are,
    such means would correlate with the truth, negatively, and any model would seem to know
    more than they do. What knows nothing says the same of every clip: their mean.
    """
    predictions = [part.predictions for part in parts]
    truths = [part.y_true for part in predictions if part.y_true is not None]
    baselines = {
        name: np.concatenate([part.baselines[name] for part in parts])
        for name in parts[0].baselines
    }
    baselines["training_mean"][:] = baselines["training_mean"].mean(axis=0)
    return Scores(
        predictions=Predictions(
            clip_ids=np.concatenate([np.asarray(part.clip_ids) for part in predictions]),
            groups=np.concatenate([np.asarray(part.groups) for part in predictions]),
            y_pred=np.concatenate([part.y_pred for part in predictions]),
            y_true=np.concatenate(truths),
        ),
        baselines=baselines,
    )


def masked_streams(network: keras.Model) -> tuple[str, ...]:
    """Return the names of the streams whose masks a model takes, by the names of its inputs."""
    names = {tensor.name for tensor in getattr(network, "inputs", None) or ()}
    return tuple(stream for stream in ("static", "dynamic") if f"{stream}_mask" in names)


def refuse_unscorable(network: keras.Model, features: FeatureSet) -> None:
    """Refuse to score features that a model was not made for; masks may be missing.

    Raises:
        ModelError: Naming the stream and what differs.
    """
    _refuse_other_shapes(network, features, masked=masked_streams(network))


def refuse_other_shapes(network: keras.Model, features: FeatureSet) -> None:
    """Refuse a model that does not take these features as they are, or score five traits.

    Raises:
        ModelError: Naming the stream and what differs.
    """
    _refuse_other_shapes(network, features, masked=())


def _refuse_other_shapes(
    network: keras.Model, features: FeatureSet, *, masked: Collection[str]
) -> None:
    if not getattr(network, "inputs", None):
        raise ModelError(
            f"{network.name}: does not say what its inputs are. "
            "Build it as keras.Model(inputs, outputs), with the static input first."
        )
    if tuple(network.output_shape[1:]) != (NUM_TRAITS,):
        raise ModelError(
            f"{network.name}: gives scores of shape {tuple(network.output_shape[1:])} a clip, "
            f"expected ({NUM_TRAITS},), in the order {', '.join(TRAITS)}. Change its last layer."
        )
    streams = (features.static, features.dynamic)
    found = {stream.name: stream.shape[1:] for stream in streams}
    found |= {
        f"{stream.name}_mask": stream.shape[1:2]
        for stream in streams
        if stream.has_mask or stream.name in masked
    }
    shapes = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    if shapes == [*found.values()]:
        return
    # The first two inputs are the streams, whatever a user has called them.
    names = ["static", "dynamic", *(tensor.name for tensor in network.inputs[2:])]
    expected = dict(zip(names, shapes, strict=False))
    place = features.sources[0].parent
    faults = [
        _shape_fault(stream, expected[stream.name])
        for stream in streams
        if stream.name in expected and expected[stream.name] != found[stream.name]
    ]
    for name in ("static_mask", "dynamic_mask"):
        if name in expected and name not in found:
            faults.append(f"{place}: has no {name}.npy, which the model takes as well. Add it.")
        if name in found and name not in expected:
            faults.append(f"{place}: has {name}.npy, but the model takes no masks. Remove it.")
    raise ModelError(
        " ".join(faults)
        or f"{place}: holds inputs of shapes {[*found.values()]} per clip, but the model takes "
        f"{shapes}. Give features of the same kind, in the order static, dynamic, masks."
    )


def _shape_fault(stream: Stream, expected: tuple[int | None, ...]) -> str:
    """Return in words how the shape of a stream differs from what the model takes."""
    found = stream.shape[1:]
    if len(expected) != len(found):
        fault, cure = "another kind of features", "Give features of the model's encoder."
    elif expected[-1] != found[-1]:
        fault = f"{found[-1]} features instead of {expected[-1]}"
        cure = "Give features of the model's encoder."
    elif expected[0] != found[0]:
        fault = f"{found[0]} steps instead of {expected[0]}"
        cure = f"Extract {expected[0]} steps per clip."
    else:
        fault, cure = "images of another size", "Resize them to the size that the model takes."
    return (
        f"{stream.parts[0].path}: the {stream.name} stream has shape {_per_clip(found)}, but the "
        f"model takes {_per_clip(expected)}: {fault}. {cure}"
    )


def _per_clip(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join(str(length) for length in ('clips', *shape))})"
