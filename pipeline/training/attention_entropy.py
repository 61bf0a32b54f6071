"""Follows how the heads of attention sharpen or spread over the epochs.

Shapes: N clips, H heads, T steps or tokens, D features.
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
"""Clips that are looked at; a mean over so many is settled, and costs an epoch next to nothing."""


class AttentionEntropy(keras.callbacks.Callback):
    """Tells the run log the normalised entropy of each head, at the end of every epoch.

    The event `attention` holds `epoch`, from 1, and `entropy`: by map, one number a head in
    [0, 1], the mean over the clips; None where no clip has more than one key. Training is the
    same with and without it: it draws nothing and writes to no weight.

    Args:
        network: The model that is trained; has attention.
        inputs: Its inputs for the clips to look at, usually of validation, in the order of
            `network.inputs`, features or pictures and (N, T) for masks; the first
            `MAX_CLIPS` are used.
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
        del logs
        weights = self._network.attention(self._inputs, batch_size=MAX_CLIPS)
        entropies = head_entropies(weights, self._masks)
        self._run_log.log_attention(
            epoch + 1,
            {name: _means(values) for name, values in entropies.items()},
        )


def attention_callbacks(
    network: keras.Model, inputs: Sequence[FloatArray], run_log: RunLog
) -> list[keras.callbacks.Callback]:
    """Return an `AttentionEntropy` for a model that has attention, and nothing for others.

    Args:
        network: The model that is trained.
        inputs: As `AttentionEntropy` takes them; empty where nothing is held out.
        run_log: Run log of the run.
    """
    has_attention = (
        isinstance(network, CompletePersonalityModel | EndToEndModel) and network.attends
    )
    if not has_attention or not inputs or not len(inputs[0]):
        return []
    return [AttentionEntropy(network, inputs, run_log)]


def _step_masks(
    network: CompletePersonalityModel | EndToEndModel, inputs: Sequence[FloatArray]
) -> dict[str, BoolArray]:
    """Return which steps or tokens are real, by stream, shape (N, T)."""
    by_name = {tensor.name: array for tensor, array in zip(network.inputs, inputs, strict=True)}
    num_clips = len(inputs[0])
    return {
        stream: np.asarray(by_name[f"{stream}_mask"]).astype(np.bool_)
        if f"{stream}_mask" in by_name
        else np.ones((num_clips, num_keys), dtype=np.bool_)
        for stream, num_keys in network.attention_keys.items()
    }


def _means(entropy: FloatArray) -> list[float | None]:
    """Return the mean of each head over the clips that have one; None stands for NaN in JSON."""
    is_defined = ~np.isnan(entropy)
    with np.errstate(invalid="ignore"):  # 0 / 0 where no clip has one
        means = np.where(is_defined, entropy, 0.0).sum(axis=0) / is_defined.sum(axis=0)
    return [None if math.isnan(mean) else mean for mean in means.tolist()]
