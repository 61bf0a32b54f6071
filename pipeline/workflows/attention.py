"""Attention of a trained model: measurements for the figures, and a table of attention weights.

The faithfulness of two rankings of the time steps is tested. The ranking `traits` is the direct
attention from the traits to the steps. The ranking `rollout` is attention rollout, which also
includes the cross-attention blocks.

Shapes: N clips, n clips of a batch, T time steps or tokens, K traits, D features.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import keras
import numpy as np
import pandas as pd

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.core.stream_names import MASK_ENDING
from pipeline.data.batches import inference_batch_size, inference_batches
from pipeline.data.feature_set import FeatureSet
from pipeline.data.stream import Stream
from pipeline.evaluation.attention import AttentionSummary, trait_attention
from pipeline.evaluation.faithfulness import measure_deletion
from pipeline.models.inference import infer
from pipeline.models.token_masks import token_mask
from pipeline.records.attention import (
    LEARNED_TOKENS,
    WHOLE,
    AttentionMeasurements,
    DeletionCurves,
    step_kind,
)
from pipeline.workflows.scoring import masked_streams, predict

_MAX_BATCH_SIZE: Final = 128
_MAX_DELETION_CLIPS: Final = 256
"""Maximum number of clips per curve. Each curve needs about ten predictions per clip."""

_Hide: TypeAlias = Callable[[list[FloatArray], BoolArray], list[FloatArray]]
"""Function: (inputs of a batch, mask of hidden steps) -> inputs with these steps hidden."""


def measure_attention(
    network: keras.Model,
    features: FeatureSet,
    rows: IntArray,
    *,
    max_clips: int = 512,
    num_samples: int = 3,
    split: str = "validation",
    seed: int,
) -> AttentionMeasurements:
    """Measure the attention of a model, and its faithfulness, on the clips `rows`.

    The measurement uses a random sample of at most `max_clips` clips. The result contains the
    attention maps of `num_samples` clips. `split` is the subset of `rows`: `validation` or
    `training`. Without attention, the result contains a reason.

    Raises:
        ModelError: If the features do not have the input shapes of the model.
    """
    predict(network, features, rows[:0])  # raises an error for wrong shapes
    if not len(rows):
        return _nothing("there are no clips for the measurement.")
    if not hasattr(network, "attention"):
        return _nothing(
            f"{network.name} was not built by this pipeline and has no attention output."
        )
    rows = generator(seed, "attention").permutation(rows)[:max_clips]
    streams, num_keys = features.streams, network.attention_keys
    summary = AttentionSummary(num_keys, num_samples=num_samples)
    try:
        for chosen, inputs in _batches(features, rows):
            weights = network.attention(inputs, batch_size=len(chosen))
            masks = {name: _step_mask(streams[name], chosen, num_keys[name]) for name in num_keys}
            tokens = {name: token_mask(network, name, mask) for name, mask in masks.items()}
            summary.add(weights, masks, tokens)
    except ModelError as error:  # a fusion without attention
        return _nothing(str(error))
    kinds = {
        name: step_kind(name) if streams[name].num_steps else LEARNED_TOKENS for name in num_keys
    }
    measured = summary.measurements(tuple(features.clip_ids[rows].tolist()), kinds)
    deletions, missing = {}, dict(measured.missing)
    for name in measured.trait_attention:
        if kinds[name] == LEARNED_TOKENS:
            missing[name] = (
                f"the {name} stream has one vector per clip. It has no time steps that can be "
                "hidden."
            )
        elif streams[name].is_absent[rows].all():
            missing[name] = f"all measured clips lack the {name} stream."
        else:
            rankings = summary.rankings(name)
            deletions[name] = _measure_deletion(network, features, rows, name, rankings, seed)
    sequences = [name for name, kind in kinds.items() if kind != LEARNED_TOKENS]
    times = {
        name: features.seconds[name].read(rows).astype(np.float64)
        for name in sequences
        if name in features.seconds
    }
    return dataclasses.replace(
        measured,
        deletions=deletions,
        missing=missing,
        split=split,
        seconds={name: _median_times(values) for name, values in times.items()},
        sample_seconds={name: values[:num_samples] for name, values in times.items()},
    )


def _median_times(seconds: FloatArray) -> FloatArray:
    """Return the median over the clips (N, T) for each step, shape (T,); NaN if unknown."""
    is_known = np.isfinite(seconds).any(axis=0)
    medians = np.full(seconds.shape[1], np.nan)
    medians[is_known] = np.nanmedian(seconds[:, is_known], axis=0)
    return medians


def check_explainable(network: keras.Model, features: FeatureSet) -> None:
    """Check that a model has attention over the time steps of a stream.

    Raises:
        ModelError: If the model has no attention, or only attention over learned tokens.
    """
    if not hasattr(network, "attention"):
        raise ModelError(
            f"{network.name}: was not built by this pipeline and has no attention. Leave --explain "
            "out."
        )
    masked = masked_streams(network)
    inputs = next(iter(inference_batches(features, np.arange(1), batch_size=1, masked=masked)))
    network.attention(list(inputs))  # raises an error for a fusion without attention
    if not _attended_sequences(network, features):
        raise ModelError(
            f"{network.name}: every stream with attention has one vector per clip, so there are "
            "no steps to explain. Train on features of shape (N, T, D), or leave --explain out."
        )


def attention_table(
    network: keras.Model, features: FeatureSet, trait_names: Sequence[str]
) -> pd.DataFrame:
    """Return the attention weights from each trait to each time step, averaged over heads.

    For each clip and trait, the weights of all streams add up to 1. In a late-fusion model, the
    weights of each stream add up to 1. These sums include learned tokens, which have no row. A
    high weight does not prove that the step determined the score.

    Returns:
        Columns `clip_id`, `trait`, `stream`, `step` (from 0), `seconds` and `weight`. The table
        has the clip order of the feature set and no rows for padding. The column `seconds` exists
        if a stream has times: seconds since the start of the clip, or NaN if unknown.
    """
    parts = []
    masked, num_keys = masked_streams(network), network.attention_keys
    for rows, inputs in _batches(features, np.arange(features.num_clips), masked=masked):
        by_stream = trait_attention(network.attention(inputs, batch_size=len(rows)), num_keys)
        for name, stream in _attended_sequences(network, features).items():
            mask = stream.read_mask(rows)
            weights = by_stream[name]
            parts.append(_table_of_stream(name, features, rows, weights, mask, trait_names))
    # The index is the row number of the clip, so sorting joins the streams of each clip.
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _nothing(reason: str) -> AttentionMeasurements:
    return AttentionMeasurements(missing={WHOLE: reason})


def _attended_sequences(network: keras.Model, features: FeatureSet) -> dict[str, Stream]:
    """Return the attended streams that have time steps."""
    streams = features.streams
    return {name: streams[name] for name in network.attention_keys if streams[name].num_steps}


def _step_mask(stream: Stream, rows: IntArray, num_keys: int) -> BoolArray:
    """Return the mask of the steps or tokens, shape (n, T); padding is False."""
    mask = stream.read_mask(rows)
    return mask if stream.num_steps else np.repeat(mask, num_keys, axis=1)


def _batches(
    features: FeatureSet, rows: IntArray, *, masked: tuple[str, ...] = ()
) -> Iterator[tuple[IntArray, list[FloatArray]]]:
    """Yield (row numbers, model inputs) for each batch."""
    size = inference_batch_size(features, max_size=_MAX_BATCH_SIZE)
    batches = inference_batches(features, rows, batch_size=size, masked=masked)
    for begin, inputs in zip(range(0, len(rows), size), batches, strict=True):
        yield rows[begin : begin + size], list(inputs)


def _measure_deletion(
    network: keras.Model,
    features: FeatureSet,
    rows: IntArray,
    stream: str,
    rankings: Mapping[str, FloatArray],
    seed: int,
) -> DeletionCurves:
    has_stream = np.flatnonzero(~features.streams[stream].is_absent[rows])[:_MAX_DELETION_CLIPS]
    rows = rows[has_stream]
    hide, hidden_by = _hider(network, stream)

    def predict_without(hidden: BoolArray) -> FloatArray:
        # Images of all clips may not fit in memory, so every call reads the inputs again.
        parts, begin = [], 0
        for chosen, inputs in _batches(features, rows):
            end = begin + len(chosen)
            parts.append(infer(network, hide(inputs, hidden[begin:end])))
            begin = end
        return np.concatenate(parts)

    return measure_deletion(
        predict_without,
        {name: ranking[has_stream] for name, ranking in rankings.items()},
        features.streams[stream].read_mask(rows),
        labels=None if features.labels is None else features.labels[rows],
        hidden_by=hidden_by,
        seed=seed,
    )


def _hider(network: keras.Model, stream: str) -> tuple[_Hide, str]:
    """Return two items: a function that hides steps of a batch, and its description."""
    names = [tensor.name for tensor in network.inputs]
    value: FloatArray | np.float32
    mask_name = f"{stream}{MASK_ENDING}"
    if mask_name in names:
        position, value = names.index(mask_name), np.float32(0)
        description = "taken out by the mask"
    else:
        value, words = network.hidden_step_value(stream)
        position, description = names.index(stream), f"replaced by {words}"

    def hide(inputs: list[FloatArray], hidden: BoolArray) -> list[FloatArray]:
        original, changed = inputs[position], list(inputs)
        is_hidden = hidden.reshape(hidden.shape + (1,) * (original.ndim - hidden.ndim))
        changed[position] = np.where(is_hidden, value, original)
        return changed

    return hide, description


def _table_of_stream(
    stream: str,
    features: FeatureSet,
    rows: IntArray,
    weights: FloatArray,
    mask: BoolArray,
    trait_names: Sequence[str],
) -> pd.DataFrame:
    """Return a table with one row per clip, trait and real step. `weights` has shape (n, K, T).

    The index of the table is the row number of the clip.
    """
    num_clips, num_traits, num_steps = weights.shape
    is_real = np.repeat(mask[:, None, :], num_traits, axis=1).ravel()
    columns: dict[str, Any] = {
        "clip_id": np.repeat(features.clip_ids[rows], num_traits * num_steps),
        "trait": np.tile(np.repeat(trait_names, num_steps), num_clips),
        "stream": stream,
        "step": np.tile(np.arange(num_steps), num_clips * num_traits),
    }
    if features.seconds:
        times = features.seconds.get(stream)
        seconds = np.full(mask.shape, np.nan) if times is None else times.read(rows)
        columns["seconds"] = np.repeat(seconds[:, None, :], num_traits, axis=1).ravel()
    columns["weight"] = np.asarray(weights, dtype=np.float64).ravel()
    return pd.DataFrame(columns, index=np.repeat(rows, num_traits * num_steps))[is_real]
