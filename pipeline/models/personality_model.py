"""The main model: one or more feature streams, a fusion, and one score per trait.

Shapes: N clips, T steps or tokens, C features, F fusion width, H heads, K traits.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ModelError, first_line
from pipeline.core.traits import TRAITS
from pipeline.models.architecture import RIDGE, Architecture, read_streams
from pipeline.models.dropout import Dropout
from pipeline.models.fusion import FUSIONS, FusionSizes
from pipeline.models.heads import LinearScores, LinearSkip, TraitHead, TraitScores
from pipeline.models.inference import infer
from pipeline.models.standardize import Standardize
from pipeline.models.streams import (
    StreamSpec,
    build_input,
    drop_streams,
    standardize,
    summarize,
    to_tokens,
)

Moments = tuple[FloatArray, FloatArray]
"""Two arrays of shape (C,): the mean and the variance of each feature."""


class GraphReader:
    """Compute intermediate tensors of a model.

    The first call of `read` builds a Keras model that computes the tensors. Because `GraphReader`
    is not a layer, this Keras model is not saved with the main model.
    """

    def __init__(self, inputs: list[Any], tensors: Mapping[str, Any]) -> None:
        self._inputs = inputs
        self._tensors = dict(tensors)
        self._model: keras.Model | None = None

    def read(self, inputs: Any, *, batch_size: int) -> dict[str, FloatArray]:
        """Return tensor name -> values, with one row per clip."""
        if self._model is None:
            self._model = keras.Model(self._inputs, self._tensors)
        values: dict[str, FloatArray] = infer(self._model, inputs, batch_size=batch_size)
        return values


@keras.saving.register_keras_serializable(package="pipeline")
class PersonalityModel(keras.Model):
    """Predict the traits of a clip from one or more streams of features.

    Each stream is standardized and mapped to tokens. Cross-attention blocks exchange information
    between the streams; see `CrossAttentionBlock` for the equations. One learned query per trait
    attends to the tokens of all streams, and one head per trait computes a logit. With
    `linear_skip`, the logits of a linear model of the pooled inputs are added before the soft clip
    to [0, 1].

    The inputs are a list: the features of all streams in order, then the masks of the masked
    streams in order. A dict with the names `NAME` and `NAME_mask` is also accepted. A mask is True
    or 1 for a real step, shape (N, T). For a stream of one vector per clip, the mask has shape
    (N, 1). The output contains scores in [0, 1] in the order of `traits`, shape (N, K), float32.

    If the mask of a stream contains only False, the clip lacks the stream. If the stream can be
    absent, a learned token then represents it; else, the attention weights of its tokens are 0. In
    both cases, the linear model uses the mean of the training clips.

    Args:
        streams: Stream name -> shape of the stream, a `StreamSpec` or a dict with its entries. If
            the fusion uses a single stream, the model has only this stream.
        traits: Names of the K traits.
        fusion_dim: Width F of every token.
        num_heads: Number of attention heads H, a divisor of `fusion_dim`.
        dropout_rate: Dropout rate during training, in [0, 1).
        num_tokens: Number of learned tokens for a stream of one vector per clip.
        num_blocks: Number of blocks in the fusion `cross_attention`.
        feed_forward_factor: Hidden width of the feed-forward layers, in multiples of F.
        fusion: Name of the fusion, one of `FUSIONS`.
        linear_skip: Whether the output of a linear model of the pooled inputs is added to the
            logits.
        linear_start: `zero`: the weights of the linear model are initially zero, and are trained.
            `ridge`: `adapt` sets these weights, and training does not change them.
        stream_dropout: Probability that a clip loses a stream during training, in [0, 1); see
            `StreamDropout`. If above 0, every stream can be absent.

    Raises:
        ModelError: If an argument or a combination of arguments is invalid.
    """

    def __init__(
        self,
        streams: Mapping[str, StreamSpec | Mapping[str, Any]],
        traits: Sequence[str] = TRAITS,
        fusion_dim: int = 128,
        num_heads: int = 4,
        dropout_rate: float = 0.3,
        *,
        num_tokens: int = 8,
        num_blocks: int = 1,
        feed_forward_factor: int = 2,
        fusion: str = "cross_attention",
        linear_skip: bool = True,
        linear_start: str = "zero",
        stream_dropout: float = 0.0,
        name: str = "personality_model",
    ) -> None:
        architecture = Architecture(
            streams=read_streams(streams, stream_dropout=stream_dropout),
            traits=traits if isinstance(traits, str) else tuple(traits),
            fusion_dim=fusion_dim,
            num_heads=num_heads,
            dropout_rate=dropout_rate,
            num_tokens=num_tokens,
            num_blocks=num_blocks,
            feed_forward_factor=feed_forward_factor,
            fusion=fusion,
            linear_skip=linear_skip,
            linear_start=linear_start,
            stream_dropout=stream_dropout,
        )
        architecture = self._with_inputs(architecture)
        inputs, scores, attention = _build_graph(architecture)
        try:
            super().__init__(inputs=inputs, outputs=scores, name=name)
        except ValueError as error:  # two layers have the same name
            names = ", ".join(architecture.streams)
            raise ModelError(
                f"One of the streams {names} has the name of a layer ({first_line(error)}). "
                "Rename the stream."
            ) from error
        self.architecture = architecture
        self._attention_reader = GraphReader(inputs, attention)

    @staticmethod
    def _with_inputs(architecture: Architecture) -> Architecture:
        """Return the architecture with the streams that are inputs of the model."""
        streams = {name: architecture.streams[name] for name in architecture.fused_streams}
        return dataclasses.replace(architecture, streams=streams)

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the streams, in the order of the inputs."""
        return tuple(self.architecture.streams)

    @property
    def trait_names(self) -> tuple[str, ...]:
        """Names of the traits, in the order of the scores."""
        return tuple(self.architecture.traits)

    def adapt(
        self,
        moments: Mapping[str, Moments],
        *,
        label_mean: FloatArray | None = None,
        linear: LinearScores | None = None,
    ) -> None:
        """Store the statistics of the training clips in the model, before training.

        `moments` contains the mean and the variance across clips and real steps for each stream
        that the fusion uses. Frozen layers do not change. After this call, the predictions of a new
        model are close to `label_mean`, shape (K,).

        With `linear`, the linear model is set to `linear`, and the weights of the heads become
        zero. The predictions of a new model then equal the scores of `linear`, except for the soft
        clip to [0, 1]. `label_mean` must be the mean score of the training clips. For a clip
        without a stream, the features are the means in `moments`.

        Raises:
            ModelError: If a stream is missing in `moments`, a shape or a value is invalid, or
                `linear` is given to a model with another `linear_start`.
        """
        for name in check_moments(moments, self.architecture.fused_streams):
            layer = self.standardizer(name)
            if layer.trainable:
                layer.set_moments(*moments[name])
        traits = self.get_layer("traits")
        if label_mean is not None and traits.trainable:
            traits.set_label_mean(label_mean)
        if linear is not None:
            self._start_linear(moments, linear)

    def _start_linear(self, moments: Mapping[str, Moments], linear: LinearScores) -> None:
        if not self.starts_at_ridge:
            raise ModelError(
                f"The model has linear_start={self.architecture.linear_start!r}, so its linear "
                f"model cannot be set. Build the model with linear_start={RIDGE!r}."
            )
        skip, traits = self.get_layer("linear_skip"), self.get_layer("traits")
        if not (skip.trainable and traits.trainable):
            return
        slopes, scores = [], np.array(linear.intercept, dtype=np.float64)
        for name in self.architecture.fused_streams:
            mean, _ = moments[name]
            scores += np.asarray(mean, np.float64) @ linear.coefficients[name]
            scale = np.asarray(self.standardizer(name).scale, dtype=np.float64)[:, None]
            # The scale of a constant feature is 0; its standardized value is always 0.
            deviation = np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)
            slopes.append(linear.coefficients[name] * deviation)
        # Near the label mean, the soft clip is almost linear.
        slope = traits.slope_at_zero()
        skip.set_slopes(np.concatenate(slopes) / slope)
        traits.shift((scores - traits.scores_at_zero()) / slope)
        for head in self._heads:
            if head.trainable:
                head.set_zero()

    def set_dropout_rate(self, rate: float) -> None:
        """Change the dropout rate, a number in (0, 1). Traced functions then use the new rate.

        Raises:
            ModelError: If the model has no dropout, or `rate` would turn dropout off.
        """
        if not (0.0 < rate < 1.0 and self.architecture.dropout_rate):
            raise ModelError(
                f"The dropout rate cannot change from {self.architecture.dropout_rate} to {rate}, "
                "because both must be above 0 and below 1. Build a new model."
            )
        self.architecture = dataclasses.replace(self.architecture, dropout_rate=rate)
        for layer in self._flatten_layers(include_self=False):
            if isinstance(layer, Dropout):
                layer.set_rate(rate)

    @property
    def starts_at_ridge(self) -> bool:
        """Whether the linear model is a ridge regression that is set before training."""
        return self.architecture.linear_start == RIDGE

    @property
    def is_linear(self) -> bool:
        """Whether the scores depend only on the linear model, because all heads are zero."""
        return self.architecture.linear_skip and all(head.is_zero for head in self._heads)

    @property
    def head_weights(self) -> list[Any]:
        """Weights of the heads. If they are zero, the scores depend only on the linear model."""
        return [head.kernel for head in self._heads]

    @property
    def _heads(self) -> list[TraitHead]:
        return [layer for layer in self.layers if isinstance(layer, TraitHead)]

    @property
    def is_adapted(self) -> bool:
        """Whether the model has statistics of training clips, from `adapt` or from training."""
        layers = [self.standardizer(name) for name in self.architecture.fused_streams]
        return any(layer.is_set for layer in (*layers, self.get_layer("traits")))

    def standardizer(self, stream: str) -> Standardize:
        """Return the `Standardize` layer of a stream that the fusion uses."""
        return self.get_layer(f"{stream}_standardize")

    def attention(self, inputs: Any, *, batch_size: int = 256) -> dict[str, FloatArray]:
        """Return name -> attention weights of every clip. `inputs` are the same as for `predict`.

        Each row of weights sums to 1. The weights of padding are 0. If a clip lacks a stream that
        can be absent, the first token of the stream is valid.

        Returns:
            Cross-attention: for each block and stream, `"block_1/static_to_dynamic"`
            (N, H, T static, T dynamic), from static queries to dynamic keys. For three streams or
            more, the keys are those of all other streams: `"block_1/static_to_dynamic+audio"`
            (N, H, T static, T dynamic + T audio). A single stream attends to itself:
            `"block_1/static_to_static"`. In addition, `"traits"` (N, H, K, T of all streams), in
            stream order. Fusions of one stream: only `"traits"`. Late fusion: one entry per
            stream, for example `"static/traits"`.

        Raises:
            ModelError: If the fusion has no attention.
        """
        if not self.has_attention:
            choices = ", ".join(name for name, fusion in FUSIONS.items() if fusion.has_attention)
            raise ModelError(
                f"fusion={self.architecture.fusion!r} has no attention weights. "
                f"Choose one of {choices}."
            )
        return self._attention_reader.read(inputs, batch_size=batch_size)

    def hidden_step_value(self, stream: str) -> tuple[FloatArray, str]:
        """Return the vector that replaces a hidden time step, shape (C,), and its description."""
        return np.asarray(self.standardizer(stream).mean), "the mean of the training clips"

    @property
    def has_attention(self) -> bool:
        """Whether the fusion has attention weights."""
        return self._fusion.has_attention

    @property
    def attention_keys(self) -> dict[str, int]:
        """Stream name -> number of tokens, for the streams that the fusion uses."""
        return {name: self.architecture.num_keys(name) for name in self.architecture.fused_streams}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        saved = ("width", "num_steps", "masked", "can_be_absent")
        streams = {
            stream: {entry: getattr(spec, entry) for entry in saved}
            for stream, spec in self.architecture.streams.items()
        }
        return {
            **vars(self.architecture),
            "streams": streams,
            "traits": list(self.trait_names),
            "name": self.name,
        }

    @property
    def _fusion(self) -> Any:
        return FUSIONS[self.architecture.fusion]


# The older `.h5` format stores the class name without the package name. Therefore the class is also
# registered without the package name.
keras.saving.get_custom_objects()["PersonalityModel"] = PersonalityModel


def check_moments(moments: Mapping[str, Moments], streams: Sequence[str]) -> Sequence[str]:
    """Check that `moments` contains all streams, and return their names.

    Raises:
        ModelError: If a stream is missing.
    """
    if missing := [name for name in streams if name not in moments]:
        raise ModelError(
            f"The moments of the stream {missing[0]} are missing; found those of "
            f"{', '.join(moments) or 'no stream'}. Pass the moments of every stream."
        )
    return streams


def _build_graph(architecture: Architecture) -> tuple[list[Any], Any, Mapping[str, Any]]:
    """Return three values: the inputs, the scores (N, K), and name -> attention weights."""
    streams = [build_input(name, spec) for name, spec in architecture.streams.items()]
    masks = [stream.mask for stream in streams if stream.mask is not None]
    inputs = [stream.values for stream in streams] + masks

    fusion = FUSIONS[architecture.fusion]
    used = [stream for stream in streams if stream.name in architecture.fused_streams]
    if architecture.stream_dropout:
        used = drop_streams(used, architecture.stream_dropout)
    used = [standardize(stream) for stream in used]
    tokens = [
        to_tokens(
            stream,
            num_tokens=architecture.num_tokens,
            width=architecture.fusion_dim,
            dropout_rate=architecture.dropout_rate,
        )
        for stream in used
    ]
    num_traits = len(architecture.traits)
    sizes = FusionSizes(
        num_traits=num_traits,
        width=architecture.fusion_dim,
        num_heads=architecture.num_heads,
        num_blocks=architecture.num_blocks,
        feed_forward_factor=architecture.feed_forward_factor,
        dropout_rate=architecture.dropout_rate,
    )
    fused, attention = fusion.build(tokens, sizes)
    logits = [fused]
    if architecture.linear_skip:
        features, *others = (summarize(stream) for stream in used)
        if others:
            join = keras.layers.Concatenate(name="summary", dtype="float32")
            features = join([features, *others])
        skip = LinearSkip(
            num_traits,
            is_trained=architecture.linear_start != RIDGE,
            name="linear_skip",
            dtype="float32",
        )
        logits.append(skip(features))
    return inputs, TraitScores(name="traits", dtype="float32")(logits), attention
