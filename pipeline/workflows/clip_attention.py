"""Where a model looked in each clip: the attention of every trait to every step, as a table.

Shapes: N clips, n clips of a batch, K traits, T steps.
"""

from typing import Any, Final

import keras
import numpy as np
import pandas as pd

from pipeline.core.arrays import BoolArray, FloatArray, IntArray
from pipeline.core.errors import ModelError
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.data.batches import InferenceBatches, inference_batch_size
from pipeline.data.feature_set import FeatureSet
from pipeline.data.stream import Stream
from pipeline.evaluation.attention import trait_attention
from pipeline.workflows.scoring import masked_streams

_MOST_AT_ONCE: Final = 128


def refuse_unexplainable(network: keras.Model, features: FeatureSet) -> None:
    """Refuse to explain by attention what has none over steps.

    A stream of one vector a clip is read as learned tokens, which stand for no moment of it.

    Raises:
        ModelError: Saying what is missing.
    """
    if not hasattr(network, "attention"):
        raise ModelError(f"{network.name}: is a model of another kind; it has no attention.")
    masked = masked_streams(network)
    inputs = next(iter(InferenceBatches(features, np.arange(1), batch_size=1, masked=masked)))
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
        The columns `clip_id`, `trait`, `stream`, `step` (from 0, as in the arrays), `seconds`
        (from the start of the clip, NaN where unknown; only where the features say it) and
        `weight`, in the order of the clips; steps that are padding are left out.
    """
    rows = np.arange(features.num_clips)
    parts = []
    masked = masked_streams(network)
    batch_size = inference_batch_size(features, max_size=_MOST_AT_ONCE)
    batches = InferenceBatches(features, rows, batch_size=batch_size, masked=masked)
    for begin, inputs in zip(range(0, len(rows), batch_size), batches, strict=True):
        chosen = rows[begin : begin + batch_size]
        weights = network.attention(list(inputs), batch_size=batch_size)
        by_stream = trait_attention(weights, network.attention_keys)
        for name, stream in _streams_in_steps(network, features).items():
            mask = stream.read_mask(chosen)
            parts.append(_rows_of(name, features, chosen, by_stream[name], mask))
    # The streams of a clip come one after the other, as its rows are the index until here.
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _streams_in_steps(network: keras.Model, features: FeatureSet) -> dict[str, Stream]:
    """Return the streams that the model attends to and that have more steps than one."""
    streams = {"static": features.static, "dynamic": features.dynamic}
    return {name: streams[name] for name in network.attention_keys if streams[name].num_steps}


def _rows_of(
    stream: str, features: FeatureSet, rows: IntArray, weights: FloatArray, mask: BoolArray
) -> pd.DataFrame:
    """Return one row a weight, the row of its clip as the index.

    Args:
        stream: Its name.
        features: What the clips `rows`, shape (n,), are of.
        rows: Row numbers.
        weights: Shape (n, K, T).
        mask: True where a step is real, shape (n, T).
    """
    num_clips, _, num_steps = weights.shape
    is_real = np.repeat(mask[:, None, :], NUM_TRAITS, axis=1).ravel()
    columns: dict[str, Any] = {
        "clip_id": np.repeat(features.clip_ids[rows], NUM_TRAITS * num_steps),
        "trait": np.tile(np.repeat(TRAITS, num_steps), num_clips),
        "stream": stream,
        "step": np.tile(np.arange(num_steps), num_clips * NUM_TRAITS),
    }
    if features.seconds is not None:
        seconds = features.seconds.read(rows)
        columns["seconds"] = np.repeat(seconds[:, None, :], NUM_TRAITS, axis=1).ravel()
    columns["weight"] = np.asarray(weights, dtype=np.float64).ravel()
    return pd.DataFrame(columns, index=np.repeat(rows, NUM_TRAITS * num_steps))[is_real]
