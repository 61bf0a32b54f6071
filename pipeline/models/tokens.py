"""Turn the features of a stream into tokens that know their place in the clip.

Shapes: B batch, T tokens, D features, F fusion width.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import FloatArray
from pipeline.models.shapes import Shape

SLOWEST_WAVE = 0.5
FASTEST_WAVE = 32.0
"""Range of the frequencies that tell moments apart, in cycles per clip."""


@keras.saving.register_keras_serializable(package="pipeline")
class VectorTokens(keras.layers.Layer):
    """Read several learned tokens off one feature vector.

    Attention over a single key is always 1, so a stream of one vector a clip is looked at
    through `num_tokens` linear maps of its own.

    Args:
        num_tokens: Number of tokens, T.
        width: Width of each token, F.

    Call arguments:
        inputs: Features, shape (B, D).
    """

    def __init__(self, num_tokens: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.width = width

    def build(self, inputs_shape: Shape) -> None:
        """Create one linear map a token; the bias is left to `Positions`."""
        self.dense = keras.layers.Dense(
            self.num_tokens * self.width, use_bias=False, dtype=self.dtype_policy, name="dense"
        )
        self.dense.build(inputs_shape)

    def call(self, inputs: Any) -> Any:
        """Return the tokens, shape (B, T, F)."""
        return ops.reshape(self.dense(inputs), (-1, self.num_tokens, self.width))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "num_tokens": self.num_tokens, "width": self.width}


@keras.saving.register_keras_serializable(package="pipeline")
class Positions(keras.layers.Layer):
    """Add a learned vector to each token, so that attention can tell tokens and streams apart.

    Args:
        in_time: Whether the tokens are steps of the clip, first to last. Their vectors then
            start as waves over the clip, so that the same moment looks alike in two streams
            of any number of steps; those of other tokens start at random.

    Call arguments:
        inputs: Tokens, shape (B, T, F).
    """

    def __init__(self, *, in_time: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.in_time = in_time

    def build(self, inputs_shape: Shape) -> None:
        """Create the vectors, shape (T, F)."""
        self.positions = self.add_weight(
            name="positions",
            shape=inputs_shape[1:],
            initializer=_waves if self.in_time else keras.initializers.RandomNormal(stddev=1.0),
        )

    def call(self, inputs: Any) -> Any:
        """Return the tokens with their positions, shape (B, T, F)."""
        return inputs + self.positions

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "in_time": self.in_time}


def time_waves(num_steps: int, width: int) -> FloatArray:
    """Return sines and cosines of the moment of each step, shape (T, F), in [-1, 1].

    The moment is the middle of the step as a share of the clip, so steps of two streams
    that show the same moment get the same vector.

    Reference: after Vaswani et al., 2017 (arXiv:1706.03762), section 3.5.
    """
    moments = (np.arange(num_steps) + 0.5) / num_steps
    frequencies = np.geomspace(SLOWEST_WAVE, FASTEST_WAVE, num=(width + 1) // 2)
    phases = 2 * np.pi * moments[:, None] * frequencies
    return np.concatenate([np.sin(phases), np.cos(phases)], axis=1)[:, :width]


def _waves(shape: tuple[int, int], dtype: Any = None) -> Any:
    return ops.convert_to_tensor(time_waves(*shape), dtype=dtype)
