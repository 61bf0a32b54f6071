"""Model inputs of one stream, and the layers that map the features to tokens.

Shapes: B batch, T steps or tokens, C features, F fusion width.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.core.arrays import FloatArray
from pipeline.core.stream_names import MASK_ENDING
from pipeline.models.dropout import Dropout
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
    """Whether the model has a mask input, which separates real steps from padding.

    For a stream of one vector per clip, the mask has shape (N, 1): True if the clip has the stream.
    """
    image_size: tuple[int, int] | None = None
    """Height and width, if each step is an image."""
    source: str = ""
    """Path of the features, for error messages."""
    can_be_absent: bool = False
    """Whether the model has a learned token for clips that lack the stream.

    For such a clip, the mask contains only False.
    """


@dataclass(frozen=True, kw_only=True)
class StreamTensors:
    """Tensors of one stream in the graph of a model."""

    name: str
    """Name of the stream."""
    values: Any
    """Features, shape (B, T, C) or (B, C); after `to_tokens`, tokens, shape (B, T, F)."""
    mask: Any
    """True for real steps or tokens, shape (B, T); None if there is no mask.

    For features of shape (B, C), the mask has shape (B, 1).
    """
    can_be_absent: bool = False
    """Whether a learned token represents the stream if the mask contains only False."""

    @property
    def has_steps(self) -> bool:
        """Whether the values have a time axis."""
        return len(self.values.shape) == 3


def build_input(name: str, spec: StreamSpec) -> StreamTensors:
    """Build the input `name` and, for a masked stream, the input `<name>_mask`."""
    steps = () if spec.num_steps is None else (spec.num_steps,)
    mask_name = f"{name}{MASK_ENDING}"
    return StreamTensors(
        name=name,
        values=keras.Input((*steps, spec.width), name=name, dtype="float32"),
        mask=keras.Input(steps or (1,), name=mask_name, dtype="bool") if spec.masked else None,
        can_be_absent=spec.can_be_absent,
    )


def drop_streams(streams: Sequence[StreamTensors], rate: float) -> list[StreamTensors]:
    """Return the streams with new masks. In training, `StreamDropout` removes whole streams."""
    masks = [_full_mask(stream) if stream.mask is None else stream.mask for stream in streams]
    kept = StreamDropout(rate, name="dropped_streams")(masks)
    return [
        dataclasses.replace(stream, mask=mask) for stream, mask in zip(streams, kept, strict=True)
    ]


def _full_mask(stream: StreamTensors) -> Any:
    values = stream.values[..., 0] if stream.has_steps else stream.values[:, :1]
    return ops.ones_like(values, dtype="bool")


def standardize(stream: StreamTensors) -> StreamTensors:
    """Return the stream with standardized features."""
    # Raw features can have any magnitude, so half precision is not sufficient.
    layer = Standardize(name=f"{stream.name}_standardize", dtype="float32")
    return dataclasses.replace(stream, values=layer(stream.values, step_mask=stream.mask))


def to_tokens(
    stream: StreamTensors, *, num_tokens: int, width: int, dropout_rate: float
) -> StreamTensors:
    """Map the features of a standardized stream to tokens, and add position vectors.

    A stream with time steps gives one token per step. Other streams give `num_tokens` tokens. If
    a clip lacks a stream that can be absent, the first token is the learned `AbsentToken`.
    """
    name = stream.name
    if stream.has_steps:
        embed = keras.layers.Dense(width, use_bias=False, name=f"{name}_tokens")
    else:
        embed = VectorTokens(num_tokens, width, name=f"{name}_tokens")
    positions = Positions(in_time=stream.has_steps, name=f"{name}_positions")
    dropout = Dropout(dropout_rate, name=f"{name}_dropout")
    tokens, mask = positions(embed(stream.values)), stream.mask
    if stream.can_be_absent:
        tokens, mask = AbsentToken(name=f"{name}_absent")(tokens, stream.mask)
    elif mask is not None and not stream.has_steps:
        mask = ops.repeat(mask, num_tokens, axis=1)
    return dataclasses.replace(stream, values=dropout(tokens), mask=mask)


def summarize(stream: StreamTensors) -> Any:
    """Return one vector per clip, shape (B, C): the mean over the real steps.

    `stream` contains standardized features. If a clip lacks the stream, its vector is zero, the
    mean of the training clips.
    """
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
class StreamDropout(keras.layers.Layer):
    """Remove whole streams of a clip from the masks, during training only.

    Each clip loses each of its streams with the probability `rate`. A clip that would lose all its
    streams keeps one of them, chosen at random.

    Args:
        rate: Probability in [0, 1).

    Call arguments:
        masks: For each of the N streams, True for real steps, shape (B, T).

    Reference: Neverova et al., 2016 (doi:10.1109/TPAMI.2015.2461544), ModDrop.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        # The state is a variable of the model, so a resumed run continues its random sequence.
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, masks: Sequence[Any], training: bool | None = None) -> list[Any]:
        """Return the masks. The mask of a removed stream contains only False."""
        if not training:
            return list(masks)
        present = ops.stack([ops.any(mask, axis=1) for mask in masks], axis=1)  # (B, N)
        numbers = keras.random.uniform(ops.shape(present), seed=self.seed_generator)
        numbers = ops.where(present, numbers, -1.0)
        # The present stream with the largest number is never removed.
        is_largest = numbers >= ops.max(numbers, axis=1, keepdims=True)
        kept = (numbers >= self.rate) | is_largest
        return [mask & kept[:, number : number + 1] for number, mask in enumerate(masks)]


@keras.saving.register_keras_serializable(package="pipeline")
class AbsentToken(keras.layers.Layer):
    """Represent a missing stream of a clip by one learned token.

    If the mask of a clip contains only False, the learned token replaces the first token, and only
    this token becomes valid. Thus every clip has at least one valid token.

    Call arguments:
        tokens: Shape (B, T, F).
        step_mask: True for real tokens, shape (B, T); or True for clips that have the stream,
            shape (B, 1).
    """

    def build(self, tokens_shape: tuple[Any, ...], step_mask_shape: tuple[Any, ...]) -> None:
        """Create the learned token, shape (F,)."""
        del step_mask_shape
        self.token = self.add_weight(
            name="token",
            shape=tokens_shape[-1:],
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )

    def call(self, tokens: Any, step_mask: Any) -> tuple[Any, Any]:
        """Return the tokens (B, T, F) and their mask (B, T)."""
        is_absent = ops.logical_not(ops.any(step_mask, axis=1, keepdims=True))
        is_first = ops.arange(tokens.shape[1])[None] == 0
        is_replaced = is_absent & is_first
        tokens = ops.where(is_replaced[..., None], self.token, tokens)
        return tokens, step_mask | is_replaced


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
