"""Where a model looked in each clip: the attention of every trait to every step, as a table.

Shapes: N clips, n clips of a batch, K traits, T steps.
"""

from typing import Final

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import ModelError
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.data.batches import InputBatches, clips_at_once
from pipeline.data.feature_set import FeatureSet
from pipeline.data.stream import Stream
from pipeline.evaluation.attention import trait_attention

_MOST_AT_ONCE: Final = 128


def refuse_unexplainable(network: keras.Model, features: FeatureSet) -> None:
    """Refuse to explain by attention what has none over steps.

    A stream of one vector a clip is read as learned tokens, which stand for no moment of it.

    Raises:
        ModelError: Saying what is missing.
    """
    if not hasattr(network, "attention"):
        raise ModelError(f"{network.name}: is a model of another kind; it has no attention.")
    inputs = next(iter(InputBatches(features, np.arange(1), batch_size=1)))
    network.attention(list(inputs))  # refuses a fusion that does not attend
    if not _streams_in_steps(network, features):
        raise ModelError(
            f"{network.name}: every stream that it attends to is one vector a clip, so there are "
            "no steps to look at. Train on features of shape (N, T, D), or leave --explain out."
        )


def attention_table(network: keras.Model, features: FeatureSet) -> pd.DataFrame:
    """Return the weights of each trait on the steps of each clip, the mean over heads.

    The weights of one clip and trait add up to 1 over the steps, and learned tokens, of both
    streams together (of each stream, in a model of late fusion). They tell where the model
    looked, which need not be what decided its score.

    Returns:
        The columns `clip_id`, `trait`, `stream`, `step` (from 0, as in the arrays) and
        `weight`; steps that are padding are left out.
    """
    rows = np.arange(features.num_clips)
    parts = []
    batch_size = clips_at_once(features, at_most=_MOST_AT_ONCE)
    batches = InputBatches(features, rows, batch_size=batch_size)
    for begin, inputs in zip(range(0, len(rows), batch_size), batches, strict=True):
        chosen = rows[begin : begin + batch_size]
        weights = network.attention(list(inputs), batch_size=batch_size)
        by_stream = trait_attention(weights, network.attention_keys)
        for name, stream in _streams_in_steps(network, features).items():
            clip_ids = features.clip_ids[chosen]
            parts.append(_rows_of(name, clip_ids, by_stream[name], stream.read_mask(chosen)))
    return pd.concat(parts).sort_values("clip_id", kind="stable", ignore_index=True)


def _streams_in_steps(network: keras.Model, features: FeatureSet) -> dict[str, Stream]:
    """Return the streams that the model attends to and that have more steps than one."""
    streams = {"static": features.static, "dynamic": features.dynamic}
    return {name: streams[name] for name in network.attention_keys if streams[name].num_steps}


def _rows_of(
    stream: str, clip_ids: NDArray[np.str_], weights: FloatArray, mask: BoolArray
) -> pd.DataFrame:
    """Return one row a weight; `weights` has the shape (n, K, T), `mask` (n, T)."""
    num_clips, _, num_steps = weights.shape
    is_real = np.repeat(mask[:, None, :], NUM_TRAITS, axis=1).ravel()
    columns = {
        "clip_id": np.repeat(clip_ids, NUM_TRAITS * num_steps),
        "trait": np.tile(np.repeat(TRAITS, num_steps), num_clips),
        "stream": stream,
        "step": np.tile(np.arange(num_steps), num_clips * NUM_TRAITS),
        "weight": np.asarray(weights, dtype=np.float64).ravel(),
    }
    return pd.DataFrame(columns)[is_real]
