"""Log the entropy of the attention heads after every epoch.

Shapes: N clips, H heads, T steps or tokens.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.run_log import RunLog
from pipeline.core.stream_names import MASK_ENDING
from pipeline.metrics.attention_entropy import head_entropies
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.token_masks import token_mask

MAX_CLIPS: Final = 64
"""Maximum number of clips for the mean. With more clips, the mean hardly changes."""


class AttentionEntropy(keras.callbacks.Callback):
    """Log the normalized entropy of each attention head after every epoch.

    The run log event `attention` has two fields: `epoch`, which starts at 1, and `entropy`. For
    each array of attention weights, `entropy` contains one number per head: the mean across clips,
    in [0, 1]. The number is None if every clip has fewer than two keys. The callback does not
    change the weights or the random numbers.

    The arrays in `inputs` have the order of `network.inputs`. The mean is across the first
    `MAX_CLIPS` clips.
    """

    def __init__(
        self,
        network: PersonalityModel | EndToEndModel,
        inputs: Sequence[FloatArray],
        run_log: RunLog,
    ) -> None:
        super().__init__()
        self._network = network
        self._inputs = [np.asarray(array)[:MAX_CLIPS] for array in inputs]
        given = {
            tensor.name: array for tensor, array in zip(network.inputs, self._inputs, strict=True)
        }
        # Stream name -> mask, shape (N, T), True for real steps or tokens.
        all_real = np.ones((len(self._inputs[0]), 1))
        self._masks = {
            stream: token_mask(
                network, stream, given.get(f"{stream}{MASK_ENDING}", all_real).astype(np.bool_)
            )
            for stream in network.attention_keys
        }
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
    """Return [`AttentionEntropy`], or [] if the network has no attention or `inputs` is empty."""
    has_attention = isinstance(network, PersonalityModel | EndToEndModel) and network.has_attention
    if not has_attention or not inputs or not len(inputs[0]):
        return []
    return [AttentionEntropy(network, inputs, run_log)]


def _means(entropy: FloatArray) -> list[float | None]:
    """Average `entropy` (N, H) across the clips without NaN; None if a head has only NaN."""
    is_defined = ~np.isnan(entropy)
    with np.errstate(invalid="ignore"):  # 0 / 0 if all values are NaN
        means = np.where(is_defined, entropy, 0.0).sum(axis=0) / is_defined.sum(axis=0)
    return [None if math.isnan(mean) else mean for mean in means.tolist()]
