"""Entropy of the attention heads after every epoch.

Shapes: N clips, H heads, T steps or tokens.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.run_log import RunLog
from pipeline.metrics.attention_entropy import head_entropies
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.end_to_end import EndToEndModel

MAX_CLIPS: Final = 64
"""Number of clips to average over: enough for a stable mean, and fast."""


class AttentionEntropy(keras.callbacks.Callback):
    """Log the normalized entropy of each attention head after every epoch.

    The event `attention` has the keys `epoch`, from 1, and `entropy`: for each map, one number
    per head in [0, 1], the mean over the clips. It is None if no clip has two keys. The callback
    uses no random numbers and changes no weights, so it does not change the training.

    Args:
        network: A model with attention.
        inputs: Input arrays of some clips, in the order of `network.inputs`. The first
            `MAX_CLIPS` clips are used.
        run_log: Run log of the run.
    """

    def __init__(
        self,
        network: CompletePersonalityModel | EndToEndModel,
        inputs: Sequence[FloatArray],
        run_log: RunLog,
    ) -> None:
        super().__init__()
        self._network = network
        self._inputs = [np.asarray(array)[:MAX_CLIPS] for array in inputs]
        self._masks = _step_masks(network, self._inputs)
        self._run_log = run_log

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: D102
        weights = self._network.attention(self._inputs, batch_size=MAX_CLIPS)
        entropies = head_entropies(weights, self._masks)
        self._run_log.log_attention(
            epoch + 1, {name: _means(values) for name, values in entropies.items()}
        )


def attention_callbacks(
    network: keras.Model, inputs: Sequence[FloatArray], run_log: RunLog
) -> list[keras.callbacks.Callback]:
    """Return an `AttentionEntropy` if the model has attention and there are clips, else []."""
    has_attention = (
        isinstance(network, CompletePersonalityModel | EndToEndModel) and network.has_attention
    )
    if not has_attention or not inputs or not len(inputs[0]):
        return []
    return [AttentionEntropy(network, inputs, run_log)]


def _step_masks(
    network: CompletePersonalityModel | EndToEndModel, inputs: Sequence[FloatArray]
) -> dict[str, BoolArray]:
    """Return True for real steps or tokens by stream, shape (N, T)."""
    by_name = {tensor.name: array for tensor, array in zip(network.inputs, inputs, strict=True)}
    num_clips = len(inputs[0])
    return {
        stream: np.asarray(by_name[f"{stream}_mask"]).astype(np.bool_)
        if f"{stream}_mask" in by_name
        else np.ones((num_clips, num_keys), dtype=np.bool_)
        for stream, num_keys in network.attention_keys.items()
    }


def _means(entropy: FloatArray) -> list[float | None]:
    """Return the mean of each head over the clips (N, H), without NaN; None replaces NaN."""
    is_defined = ~np.isnan(entropy)
    with np.errstate(invalid="ignore"):  # 0 / 0 if no clip has a value
        means = np.where(is_defined, entropy, 0.0).sum(axis=0) / is_defined.sum(axis=0)
    return [None if math.isnan(mean) else mean for mean in means.tolist()]
