"""Model inputs of one stream, and the layers that map the features to tokens.

Shapes: B batch, T steps or tokens, C features, F fusion width.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import FloatArray
from pipeline.models.standardize import Standardize

MIN_FREQUENCY = 0.5
MAX_FREQUENCY = 32.0
"""Range of the frequencies in `time_waves`, in cycles per clip."""


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """Shape of one stream in a feature set."""

    width: int
    """Number of features per time step; for images, number of channels."""
    num_steps: int | None = None
    """Number of time steps per clip; None if the stream has one vector per clip."""
    masked: bool = False
    """Whether a mask separates real steps from padding."""
    image_size: tuple[int, int] | None = None
    """Height and width, if each step is an image."""
    source: str = ""
    """Path of the features, for error messages."""


@dataclass(frozen=True, kw_only=True)
class StreamTensors:
    """Tensors of one stream in the graph of a model."""

    name: str
    """`"static"` or `"dynamic"`."""
    values: Any
    """Features, shape (B, T, C) or (B, C); after `to_tokens`, tokens, shape (B, T, F)."""
    mask: Any
    """True for real steps, shape (B, T); None if there is no mask."""

    @property
    def has_steps(self) -> bool:
        """Whether the values have a time axis."""
        return len(self.values.shape) == 3


def build_input(name: str, spec: StreamSpec) -> StreamTensors:
    """Build the input `name` and, for a masked stream, the input `<name>_mask`."""
    steps = () if spec.num_steps is None else (spec.num_steps,)
    return StreamTensors(
        name=name,
        values=keras.Input((*steps, spec.width), name=name, dtype="float32"),
        mask=keras.Input(steps, name=f"{name}_mask", dtype="bool") if spec.masked else None,
    )


def standardize(stream: StreamTensors) -> StreamTensors:
    """Return the stream with standardized features."""
    # Raw features can have any magnitude, so half precision is not sufficient.
    layer = Standardize(name=f"{stream.name}_standardize", dtype="float32")
    return dataclasses.replace(stream, values=layer(stream.values, step_mask=stream.mask))


def to_tokens(
    stream: StreamTensors, *, num_tokens: int, width: int, dropout_rate: float
) -> StreamTensors:
    """Map the features of a standardized stream to tokens, and add position vectors.

    A stream with time steps gives one token per step. Other streams give `num_tokens` tokens.
    """
    name = stream.name
    if stream.has_steps:
        embed = keras.layers.Dense(width, use_bias=False, name=f"{name}_tokens")
    else:
        embed = VectorTokens(num_tokens, width, name=f"{name}_tokens")
    positions = Positions(in_time=stream.has_steps, name=f"{name}_positions")
    dropout = keras.layers.Dropout(dropout_rate, name=f"{name}_dropout")
    return dataclasses.replace(stream, values=dropout(positions(embed(stream.values))))


def summarize(stream: StreamTensors) -> Any:
    """Return one vector per clip, shape (B, C): the mean over the real steps."""
    if not stream.has_steps:
        return stream.values
    mean = MaskedMean(name=f"{stream.name}_summary", dtype="float32")
    return mean(stream.values, step_mask=stream.mask)


@keras.saving.register_keras_serializable(package="pipeline")
class VectorTokens(keras.layers.Layer):
    """Map one feature vector to several tokens, with separate linear weights for each token.

    The attention weight of a single key is always 1. Therefore one token would not be sufficient.

    Args:
        num_tokens: Number of tokens, T.
        width: Width of each token, F.

    Call arguments:
        inputs: Features, shape (B, C).
    """

    def __init__(self, num_tokens: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.width = width

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the dense layer. It has no bias, because `Positions` adds a vector per token."""
        self.dense = keras.layers.Dense(
            self.num_tokens * self.width, use_bias=False, dtype=self.dtype_policy, name="dense"
        )
        self.dense.build(inputs_shape)

    def call(self, inputs: Any) -> Any:
        """Return the tokens, shape (B, T, F)."""
        return ops.reshape(self.dense(inputs), (-1, self.num_tokens, self.width))


@keras.saving.register_keras_serializable(package="pipeline")
class Positions(keras.layers.Layer):
    """Add a learned position vector to each token.

    Args:
        in_time: Whether the tokens are time steps. If True, the initial position vectors are from
            `time_waves`. Otherwise they are random.

    Call arguments:
        inputs: Tokens, shape (B, T, F).
    """

    def __init__(self, *, in_time: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.in_time = in_time

    def build(self, inputs_shape: tuple[Any, ...]) -> None:
        """Create the position vectors, shape (T, F)."""
        self.positions = self.add_weight(
            name="positions",
            shape=inputs_shape[1:],
            initializer=_waves if self.in_time else keras.initializers.RandomNormal(stddev=1.0),
        )

    def call(self, inputs: Any) -> Any:
        """Return the sums of tokens and position vectors, shape (B, T, F)."""
        return inputs + self.positions


def time_waves(num_steps: int, width: int) -> FloatArray:
    """Return one position vector per time step, shape (T, F): sines and cosines in [-1, 1].

    The vector depends on the time of the middle of the step, as a fraction of the clip length.
    Therefore steps of two streams at the same time have equal vectors, even if the streams have
    different numbers of steps.

    Reference: after Vaswani et al., 2017 (arXiv:1706.03762), section 3.5.
    """
    times = (np.arange(num_steps) + 0.5) / num_steps
    frequencies = np.geomspace(MIN_FREQUENCY, MAX_FREQUENCY, num=(width + 1) // 2)
    phases = 2 * np.pi * times[:, None] * frequencies
    return np.concatenate([np.sin(phases), np.cos(phases)], axis=1)[:, :width]


def _waves(shape: tuple[int, int], dtype: Any = None) -> Any:
    return ops.convert_to_tensor(time_waves(*shape), dtype=dtype)


@keras.saving.register_keras_serializable(package="pipeline")
class MaskedMean(keras.layers.Layer):
    """Average across the real steps. For a clip without real steps, the mean is zero.

    Call arguments:
        inputs: Shape (B, T, F).
        step_mask: True for real steps, shape (B, T); None if all steps are real.
    """

    def call(self, inputs: Any, step_mask: Any = None) -> Any:
        """Return the means, shape (B, F)."""
        if step_mask is None:
            return ops.mean(inputs, axis=1)
        # In half precision, a sum over thousands of steps can overflow.
        real = ops.expand_dims(ops.cast(step_mask, "float32"), -1)
        total = ops.sum(ops.cast(inputs, "float32") * real, axis=1)
        return ops.cast(total / ops.maximum(ops.sum(real, axis=1), 1), inputs.dtype)
