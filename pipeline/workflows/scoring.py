"""Scores of a model and of the baselines on the same clips.

Shapes: N clips, K traits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import keras
import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import ModelError
from pipeline.core.stream_names import MASK_ENDING
from pipeline.data.batches import inference_batch_size, inference_batches
from pipeline.data.feature_set import FeatureSet
from pipeline.data.stream import PooledFeatures, Stream
from pipeline.evaluation.baselines import Baselines, fit_baselines
from pipeline.metrics.regression import exact_metrics
from pipeline.models.inference import infer
from pipeline.models.token_masks import absent_streams
from pipeline.records.predictions import Predictions

_MAX_BATCH_SIZE: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Predictions of a model and of the baselines, for the same clips in the same order."""

    predictions: Predictions
    baselines: dict[str, FloatArray]
    """Baseline name -> scores, shape (N, K)."""
    without_stream: dict[str, FloatArray]
    """Stream name -> scores of the model without this stream, shape (N, K); empty if the model
    has one stream or was not built by this pipeline."""


def score(
    network: keras.Model, baselines: Baselines, features: FeatureSet, rows: IntArray
) -> Scores:
    """Predict the scores of the clips with the indices `rows`: with the model and the baselines.

    Raises:
        ModelError: If the features or their traits do not fit the model.
    """
    check_outputs(network, features.trait_names)
    labels = features.checked_labels()[rows]
    # Only these streams affect the scores. A custom model has no such attribute.
    streams = tuple(getattr(network, "attention_keys", ()))
    return Scores(
        predictions=Predictions(
            clip_ids=features.clip_ids[rows],
            groups=features.groups[rows],
            y_pred=predict(network, features, rows),
            y_true=labels,
            trait_names=features.trait_names,
        ),
        baselines=baselines.predict(
            _pooled(features, rows),
            labels=labels,
            groups=features.groups[rows],
            clip_ids=features.clip_ids[rows],
        ),
        without_stream={
            name: predict(network, features, rows, without=name)
            for name in streams
            if len(streams) > 1
        },
    )


def predict(
    network: keras.Model, features: FeatureSet, rows: IntArray, *, without: str = ""
) -> FloatArray:
    """Return the scores of the clips with the indices `rows`, shape (N, K).

    If a stream has a mask input in the model but no mask in the feature set, all its time steps
    count as valid.

    If `without` is the name of a stream, this stream is hidden from the model. If the model has a
    learned token for clips that lack the stream, its mask contains only False. Otherwise each
    step is replaced by the mean of the training clips.

    Raises:
        ModelError: If the features do not have the input shapes of the model.
    """
    check_shapes(network, features, needs_masks=False)
    batch_size = inference_batch_size(features, max_size=_MAX_BATCH_SIZE)
    masked = masked_streams(network)
    batches = inference_batches(features, rows, batch_size=batch_size, masked=masked)
    hide = _without_stream(network, features, without) if without else list
    scores = [infer(network, hide(inputs)) for inputs in batches]
    return np.concatenate(scores) if scores else np.zeros((0, network.output_shape[-1]), np.float32)


def _without_stream(
    network: keras.Model, features: FeatureSet, name: str
) -> Callable[[Sequence[FloatArray]], list[FloatArray]]:
    """Return the function that replaces the values of a stream in the inputs of a batch."""
    position = list(features.streams).index(name)
    value, mask_position = np.zeros(1, np.float32), -1
    if name in absent_streams(network):
        mask_position = len(features.streams) + masked_streams(network).index(name)
    else:
        value, _ = network.hidden_step_value(name)

    def hide(inputs: Sequence[FloatArray]) -> list[FloatArray]:
        changed = list(inputs)
        changed[position] = np.broadcast_to(value, inputs[position].shape)
        if mask_position >= 0:
            changed[mask_position] = np.zeros_like(inputs[mask_position])
        return changed

    return hide


def fit_run_baselines(features: FeatureSet, rows: IntArray, config: ExperimentConfig) -> Baselines:
    """Fit the baselines on the training clips, which have the indices `rows`."""
    return fit_baselines(
        _pooled(features, rows),
        labels=features.checked_labels()[rows],
        groups=features.groups[rows],
        clip_ids=features.clip_ids[rows],
        seed=config.split_seed,
    )


def ridge_metrics(baselines: Baselines, features: FeatureSet, rows: IntArray) -> dict[str, float]:
    """Return the metrics of ridge regression on the validation clips `rows`, mean over traits.

    The keys are names of the run log.
    """
    labels = features.checked_labels()[rows]
    predicted = baselines.predict(
        _pooled(features, rows),
        labels=labels,
        groups=features.groups[rows],
        clip_ids=features.clip_ids[rows],
    )
    return {
        f"reference/validation/{metric}/ridge": float(values.mean())
        for metric, values in exact_metrics(labels, predicted["ridge"]).items()
    }


def _pooled(features: FeatureSet, rows: IntArray) -> dict[str, PooledFeatures]:
    return {
        name: PooledFeatures(stream=stream, rows=rows) for name, stream in features.streams.items()
    }


def concatenate_scores(folds: list[Scores]) -> Scores:
    """Join the scores of all folds.

    The baseline `training_mean` predicts a different training mean in each fold. These means
    correlate negatively with the held-out labels of their folds, so R² and PCC of this baseline
    over all folds would be too low. Therefore the average of these predictions over all clips
    replaces them. For a fold without the baseline `same_group_mean`, the training mean of the fold
    is used, because this baseline would equal it.
    """
    predictions = [fold.predictions for fold in folds]
    labels = [part.y_true for part in predictions if part.y_true is not None]
    baselines = {
        name: np.concatenate(
            [fold.baselines.get(name, fold.baselines["training_mean"]) for fold in folds]
        )
        for name in max((fold.baselines for fold in folds), key=len)
    }
    baselines["training_mean"][:] = baselines["training_mean"].mean(axis=0)
    without_stream = {
        name: np.concatenate([fold.without_stream[name] for fold in folds])
        for name in folds[0].without_stream
    }
    return Scores(
        predictions=Predictions(
            clip_ids=np.concatenate([np.asarray(part.clip_ids) for part in predictions]),
            groups=np.concatenate([np.asarray(part.groups) for part in predictions]),
            y_pred=np.concatenate([part.y_pred for part in predictions]),
            y_true=np.concatenate(labels),
            trait_names=predictions[0].trait_names,
        ),
        baselines=baselines,
        without_stream=without_stream,
    )


def masked_streams(network: keras.Model) -> tuple[str, ...]:
    """Return the names of the streams that have a mask input in the model."""
    names = [tensor.name for tensor in getattr(network, "inputs", None) or ()]
    masks = [name for name in names if name.endswith(MASK_ENDING)]
    return tuple(name.removesuffix(MASK_ENDING) for name in masks)


def check_shapes(network: keras.Model, features: FeatureSet, *, needs_masks: bool = True) -> None:
    """Check that a model accepts these features.

    If `needs_masks` is false, a stream may have a mask input in the model but no mask in the
    feature set. All time steps of such a stream count as valid.

    Raises:
        ModelError: If the model does not define its inputs, or if an input shape is wrong. If
            the shape of a stream is wrong, the message contains the stream name.
    """
    _check_defined(network)
    streams = [*features.streams.values()]
    _check_stream_names(network, features)
    optional = () if needs_masks else masked_streams(network)
    found = {stream.name: stream.shape[1:] for stream in streams}
    found |= {
        f"{stream.name}{MASK_ENDING}": stream.mask_shape
        for stream in streams
        if stream.has_mask or stream.name in optional
    }
    absent_masks = {f"{stream.name}{MASK_ENDING}" for stream in streams if not stream.has_mask}
    shapes = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    if shapes == [*found.values()]:
        return
    # The first inputs are the streams, even if they have other names in a custom model.
    names = [*features.streams, *(tensor.name for tensor in network.inputs[len(streams) :])]
    expected = dict(zip(names, shapes, strict=False))
    place = features.sources[0].parent
    faults = [
        _shape_fault(stream, expected[stream.name])
        for stream in streams
        if stream.name in expected and expected[stream.name] != found[stream.name]
    ]
    for name in (f"{stream.name}{MASK_ENDING}" for stream in streams):
        if name in expected and name not in found:
            faults.append(f"{place}: has no {name}.npy, which the model needs. Add the file.")
        if name in found and name not in expected:
            faults.append(
                f"{place}: has {name}.npy, but the model has no mask input. Remove the file."
            )
    if not faults:
        given = {name: shape for name, shape in found.items() if name not in absent_masks}
        inputs = {tensor.name: shape for tensor, shape in zip(network.inputs, shapes, strict=True)}
        faults.append(
            f"{place}: the streams are {_listed_shapes(given)}, but the inputs of the model are "
            f"{_listed_shapes(inputs)}. Give features of the same kind, in the order of the inputs."
        )
    raise ModelError(" ".join(faults))


def check_outputs(network: keras.Model, trait_names: Sequence[str]) -> None:
    """Check that a model predicts one score for each of these traits, in this order.

    Raises:
        ModelError: If the model does not define its inputs, or has other outputs.
    """
    _check_defined(network)
    expected = tuple(trait_names)
    if tuple(network.output_shape[1:]) != (len(expected),):
        raise ModelError(
            f"{network.name}: the output shape per clip must be ({len(expected)},), in the order "
            f"{', '.join(expected)}, but is {tuple(network.output_shape[1:])}. Change the last "
            "layer, or choose the traits with --data.traits."
        )
    # A custom model has no names of traits.
    found = getattr(network, "trait_names", expected)
    if found != expected:
        raise ModelError(
            f"{network.name}: predicts {', '.join(found)}, but the labels are "
            f"{', '.join(expected)}. Choose the traits with --data.traits {','.join(found)}, or "
            "build the model for the traits of the labels."
        )


def absence_caveats(network: keras.Model, features: FeatureSet) -> tuple[str, ...]:
    """Return a warning for each stream that some clips lack, if the model has no token for this.

    Such a model was trained only on clips with this stream.
    """
    learned = absent_streams(network)
    return tuple(
        f"{features.features_dir}: {int(stream.is_absent.sum())} of {features.num_clips} clips "
        f"lack the {name} stream, but the model was trained only on clips with this stream. The "
        "scores of these clips may be wrong."
        for name, stream in features.streams.items()
        if stream.can_be_absent and name not in learned
    )


def _check_defined(network: keras.Model) -> None:
    if not getattr(network, "inputs", None):
        raise ModelError(
            f"{network.name}: does not define its inputs. "
            "Build it as keras.Model(inputs, outputs), with one input per stream, then the masks."
        )


def _check_stream_names(network: keras.Model, features: FeatureSet) -> None:
    """Check that a model of this pipeline has inputs for exactly these streams."""
    needed = getattr(network, "stream_names", None)
    # In a custom model, the inputs can have other names.
    if needed is not None and needed != tuple(features.streams):
        raise ModelError(
            f"{features.features_dir}: the streams are {', '.join(features.streams)}, but the "
            f"model needs {', '.join(needed)}. Choose the streams with "
            f"--data.streams {','.join(needed)}, or add the missing files."
        )


def _shape_fault(stream: Stream, expected: tuple[int | None, ...]) -> str:
    found = stream.shape[1:]
    if len(expected) != len(found):
        fault, fix = "another kind of features", "Give features from the encoder of the model."
    elif expected[-1] != found[-1]:
        fault = f"{found[-1]} features instead of {expected[-1]}"
        fix = "Give features from the encoder of the model."
    elif expected[0] != found[0]:
        fault = f"{found[0]} steps instead of {expected[0]}"
        fix = f"Extract {expected[0]} steps per clip."
    else:
        fault, fix = "images of another size", "Resize the images to the input size of the model."
    return (
        f"{stream.parts[0].path}: the {stream.name} stream has shape {_per_clip(found)}, but the "
        f"model needs {_per_clip(expected)}: {fault}. {fix}"
    )


def _listed_shapes(shapes: Mapping[str, tuple[int | None, ...]]) -> str:
    return ", ".join(f"{name} {_per_clip(shape)}" for name, shape in shapes.items())


def _per_clip(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join(str(length) for length in ('clips', *shape))})"
