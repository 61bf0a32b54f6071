"""Measure the attention of a model on some clips, so that figures never need the model.

Two rankings of the steps are checked for faithfulness: where the traits look (`traits`), and
the same followed back through the cross-attention blocks (`rollout`). On the built-in set both
find the planted face frame, as the traits look at it directly. The planted flow window is
found surely by the rollout only: what it holds reaches the traits by way of the face frames
that looked at it.

Shapes: N clips, n clips of a batch, T steps or tokens, K traits.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import keras
import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.data.batches import InferenceBatches, inference_batch_size
from pipeline.data.feature_set import FeatureSet
from pipeline.evaluation.attention import AttentionSummary
from pipeline.evaluation.faithfulness import measure_deletion
from pipeline.records.attention import (
    FRAMES,
    LEARNED_TOKENS,
    WHOLE,
    WINDOWS,
    AttentionMeasurements,
    DeletionCurves,
    read_attention,
    write_attention,
)
from pipeline.workflows.scoring import predict

__all__ = ["AttentionMeasurements", "measure_attention", "read_attention", "write_attention"]

_MOST_AT_ONCE: Final = 128
_MAX_DELETION_CLIPS: Final = 256
"""Hiding takes some ten predictions a curve, and so many clips settle a mean."""
_NO_STEPS: Final = (
    "the {stream} stream is one vector a clip, read as learned tokens; there are no steps to hide."
)
_STEP_KINDS: Final[Mapping[str, str]] = {"static": FRAMES, "dynamic": WINDOWS}

_Hide: TypeAlias = Callable[[list[FloatArray], BoolArray], list[FloatArray]]
"""Inputs of a batch, and the steps to hide in them -> the inputs without these steps."""


def measure_attention(
    network: keras.Model,
    features: FeatureSet,
    rows: IntArray,
    *,
    max_clips: int = 512,
    num_samples: int = 3,
    seed: int,
) -> AttentionMeasurements:
    """Measure where a model looks, and whether that is what decides its scores.

    Args:
        network: The trained model. One that has no attention gives measurements that hold
            nothing but the reason.
        features: Where the clips come from; labels are used where there are any.
        rows: The clips, usually those of validation, shape (N,).
        max_clips: Of more clips than these, so many are drawn.
        num_samples: Clips whose maps are kept one by one.
        seed: Seed of all draws.

    Raises:
        ModelError: If the model was made for features of another shape.
    """
    predict(network, features, rows[:0])  # refuses features of another shape
    if not len(rows):
        return _nothing("there are no clips to measure it on.")
    if not hasattr(network, "attention"):
        return _nothing(f"{network.name} is a model of another kind, which does not show it.")
    clips = _Clips(network, features, generator(seed, "attention").permutation(rows)[:max_clips])
    try:
        summary = _summarize(clips, num_samples)
    except ModelError as error:  # the fusion of the streams has no attention
        return _nothing(str(error))
    measured = summary.measurements(clips.ids, clips.key_kinds)
    deletions, missing = {}, dict(measured.missing)
    for stream in measured.trait_attention:
        if clips.key_kinds[stream] == LEARNED_TOKENS:
            missing[stream] = _NO_STEPS.format(stream=stream)
        else:
            rankings = summary.rankings(stream)
            deletions[stream] = _measure_deletion(clips, stream, rankings, seed=seed)
    return dataclasses.replace(measured, deletions=deletions, missing=missing)


def _nothing(reason: str) -> AttentionMeasurements:
    return AttentionMeasurements(missing={WHOLE: reason})


class _Clips:
    """The clips that are measured, as the model takes them."""

    def __init__(self, network: keras.Model, features: FeatureSet, rows: IntArray) -> None:
        self.network = network
        self.features = features
        self.rows = rows
        self._batch_size = inference_batch_size(features, max_size=_MOST_AT_ONCE)
        self.num_keys: dict[str, int] = network.attention_keys
        self._streams = {"static": features.static, "dynamic": features.dynamic}

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the clips."""
        return tuple(self.features.clip_ids[self.rows].tolist())

    @property
    def key_kinds(self) -> dict[str, str]:
        """What the keys of each stream are."""
        return {
            name: _STEP_KINDS[name] if self._streams[name].num_steps else LEARNED_TOKENS
            for name in self.num_keys
        }

    def step_mask(self, stream: str, rows: IntArray) -> BoolArray:
        """Return which steps or tokens of a stream are real, shape (n, T)."""
        if self._streams[stream].num_steps:
            return self._streams[stream].read_mask(rows)
        return np.ones((len(rows), self.num_keys[stream]), dtype=np.bool_)

    def batches(self, rows: IntArray) -> Iterator[tuple[IntArray, list[FloatArray]]]:
        """Yield row numbers and the model's inputs, batch by batch."""
        begin = 0
        for inputs in InferenceBatches(self.features, rows, batch_size=self._batch_size):
            yield rows[begin : begin + len(inputs[0])], list(inputs)
            begin += len(inputs[0])


def _summarize(clips: _Clips, num_samples: int) -> AttentionSummary:
    summary = AttentionSummary(clips.num_keys, num_samples=num_samples)
    for rows, inputs in clips.batches(clips.rows):
        weights = clips.network.attention(inputs, batch_size=len(rows))
        summary.add(weights, {stream: clips.step_mask(stream, rows) for stream in clips.num_keys})
    return summary


def _measure_deletion(
    clips: _Clips, stream: str, rankings: Mapping[str, FloatArray], *, seed: int
) -> DeletionCurves:
    rows = clips.rows[:_MAX_DELETION_CLIPS]
    hide, hidden_by = _hider(clips.network, stream)

    def predict_without(hidden: BoolArray) -> FloatArray:
        # Read anew each time: of pictures, all the clips do not fit into memory together.
        parts, begin = [], 0
        for chosen, inputs in clips.batches(rows):
            end = begin + len(chosen)
            parts.append(clips.network.predict_on_batch(hide(inputs, hidden[begin:end])))
            begin = end
        return np.concatenate(parts)

    labels = clips.features.labels
    return measure_deletion(
        predict_without,
        {name: ranking[: len(rows)] for name, ranking in rankings.items()},
        clips.step_mask(stream, rows),
        labels=None if labels is None else labels[rows],
        hidden_by=hidden_by,
        seed=seed,
    )


def _hider(network: keras.Model, stream: str) -> tuple[_Hide, str]:
    """Return the function that hides steps in the inputs of a batch, and what it does in words."""
    names = [tensor.name for tensor in network.inputs]
    mask_name = f"{stream}_mask"
    if mask_name in names:
        return _replacer(names.index(mask_name), np.float32(0)), "taken out by the mask"
    value, words = network.stand_in(stream)
    return _replacer(names.index(stream), value), f"replaced by {words}"


def _replacer(position: int, value: FloatArray | np.float32) -> _Hide:
    def hide(inputs: list[FloatArray], hidden: BoolArray) -> list[FloatArray]:
        given = inputs[position]
        where = hidden.reshape(hidden.shape + (1,) * (given.ndim - hidden.ndim))
        changed = list(inputs)
        changed[position] = np.where(where, value, given)
        return changed

    return hide
