"""The flagship: two feature streams, fused by cross-attention, scored on five traits.

Shapes: N clips, T steps, C features, S static tokens, D dynamic tokens, F fusion width, H heads,
K traits.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ModelError
from pipeline.models.architecture import Architecture
from pipeline.models.attention_probe import AttentionProbe
from pipeline.models.fusion import FUSIONS
from pipeline.models.heads import LinearSkip, TraitScores
from pipeline.models.standardize import Standardize
from pipeline.models.streams import build_input, standardize, summarize, to_tokens

Moments = tuple[FloatArray, FloatArray]
"""Mean and variance of each feature, each of shape (C,)."""


@keras.saving.register_keras_serializable(package="pipeline")
class CompletePersonalityModel(keras.Model):
    """Predict the five traits of a clip from static and dynamic features.

    Each stream is standardized and turned into tokens; `num_blocks` bidirectional
    cross-attention blocks let the streams look at each other; one learned query a trait looks
    for its own evidence among the tokens of both; a head a trait turns what it found into a
    score. With `linear_skip`, a linear map of the pooled inputs is added before the soft clip, so
    that the attention has to learn only what a linear model cannot.

    The inputs are `[static, dynamic]`, then `static_mask` and `dynamic_mask` for masked streams
    (True or 1 = a real step); a dict by these names works as well. The outputs are scores of
    shape (N, K), float32, in [0, 1], in OCEAN order.

    Args:
        static_dim: Number of static features.
        dynamic_dim: Number of dynamic features.
        fusion_dim: Width F of every token.
        num_heads: Attention heads H; divides `fusion_dim`.
        dropout_rate: Share dropped while training, in [0, 1).
        static_steps: Steps of the static stream, inputs (N, T, C); None for one vector a clip,
            inputs (N, C).
        dynamic_steps: The same for the dynamic stream.
        static_masked: Whether there is an input `static_mask`, shape (N, T).
        dynamic_masked: Whether there is an input `dynamic_mask`, shape (N, T).
        num_tokens: Learned tokens that a stream of one vector a clip is turned into.
        num_blocks: Cross-attention blocks; the other fusions have none.
        feed_forward_factor: Hidden width of the feed-forward layers, in multiples of F.
        fusion: How the streams are fused, one of `FUSIONS`.
        linear_skip: Whether a linear map of the pooled inputs is added to the logits.
        name: Name of the model.

    Raises:
        ModelError: If an argument cannot be used, alone or beside the others.
    """

    def __init__(
        self,
        static_dim: int,
        dynamic_dim: int,
        fusion_dim: int = 128,
        num_heads: int = 4,
        dropout_rate: float = 0.3,
        *,
        static_steps: int | None = None,
        dynamic_steps: int | None = None,
        static_masked: bool = False,
        dynamic_masked: bool = False,
        num_tokens: int = 8,
        num_blocks: int = 1,
        feed_forward_factor: int = 2,
        fusion: str = "cross_attention",
        linear_skip: bool = True,
        name: str = "complete_personality_model",
    ) -> None:
        architecture = Architecture(
            static_dim=static_dim,
            dynamic_dim=dynamic_dim,
            fusion_dim=fusion_dim,
            num_heads=num_heads,
            dropout_rate=dropout_rate,
            static_steps=static_steps,
            dynamic_steps=dynamic_steps,
            static_masked=static_masked,
            dynamic_masked=dynamic_masked,
            num_tokens=num_tokens,
            num_blocks=num_blocks,
            feed_forward_factor=feed_forward_factor,
            fusion=fusion,
            linear_skip=linear_skip,
        )
        inputs, scores, attention = _build_graph(architecture)
        super().__init__(inputs=inputs, outputs=scores, name=name)
        self.architecture = architecture
        self._probe = AttentionProbe(inputs, attention)

    def adapt(
        self,
        *,
        static_moments: Moments,
        dynamic_moments: Moments,
        label_mean: FloatArray | None = None,
    ) -> None:
        """Set what the model knows about the training rows before the first step.

        A stream that the fusion does not read is passed over, and a layer that is frozen keeps
        what it has.

        Args:
            static_moments: Mean and variance of the static features, over clips and real steps.
            dynamic_moments: The same for the dynamic features.
            label_mean: Mean score of each trait, shape (K,); a new model then starts near it.

        Raises:
            ModelError: If a shape is wrong or a value cannot be used.
        """
        moments = {"static": static_moments, "dynamic": dynamic_moments}
        for name in self._fusion.streams:
            layer = self.standardizer(name)
            if layer.trainable:
                layer.set_moments(*moments[name])
        if label_mean is not None and self.get_layer("traits").trainable:
            self.set_label_mean(label_mean)

    @property
    def is_adapted(self) -> bool:
        """Whether it knows some training rows already: by `adapt`, or from a training."""
        layers = [self.standardizer(name) for name in self._fusion.streams]
        return any(layer.is_set for layer in (*layers, self.get_layer("traits")))

    def standardizer(self, stream: str) -> Standardize:
        """Return the layer that holds the statistics of a stream that the fusion reads."""
        return self.get_layer(f"{stream}_standardize")

    def set_label_mean(self, mean: FloatArray) -> None:
        """Set the bias of each trait so that zero logits score `mean`, shape (K,)."""
        self.get_layer("traits").set_label_mean(mean)

    def attention(self, inputs: Any, *, batch_size: int = 256) -> dict[str, FloatArray]:
        """Return who looked where, by name, for every clip.

        Rows of weights sum to 1; padding gets exactly 0.

        Args:
            inputs: What `predict` takes.
            batch_size: Clips that go through the model at once.

        Returns:
            For cross-attention, `"block_1/static_to_dynamic"` (N, H, S, D) of static queries
            and dynamic keys, `"block_1/dynamic_to_static"` (N, H, D, S), more blocks likewise,
            and `"traits"` (N, H, K, S + D), static keys first. For a single stream, `"traits"`
            over its tokens; for late fusion, `"static/traits"` and `"dynamic/traits"`.

        Raises:
            ModelError: If the fusion has no attention.
        """
        if not self.attends:
            having = ", ".join(name for name, fusion in FUSIONS.items() if fusion.attends)
            raise ModelError(
                f"fusion={self.architecture.fusion!r} has no attention to show; "
                f"these have: {having}."
            )
        return self._probe.read(inputs, batch_size=batch_size)

    def stand_in(self, stream: str) -> tuple[FloatArray, str]:
        """Return what a step is replaced by to hide it, shape (C,), and what that is in words."""
        return np.asarray(self.standardizer(stream).mean), "the mean of the training clips"

    @property
    def attends(self) -> bool:
        """Whether the fusion has attention to show."""
        return self._fusion.attends

    @property
    def attention_keys(self) -> dict[str, int]:
        """How many tokens each stream has for attention to look at: `{"static": S, ...}`.

        Only streams that the fusion reads are listed.
        """
        return {name: self.architecture.num_keys(name) for name in self._fusion.streams}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**dataclasses.asdict(self.architecture), "name": self.name}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> "CompletePersonalityModel":
        """Build the model that `get_config` describes."""
        del custom_objects  # every part of the model is registered
        return cls(**config)

    @property
    def _fusion(self) -> Any:
        return FUSIONS[self.architecture.fusion]


# The older `.h5` format knows a class by its bare name, without the package.
keras.saving.get_custom_objects()["CompletePersonalityModel"] = CompletePersonalityModel


def _build_graph(architecture: Architecture) -> tuple[list[Any], Any, Mapping[str, Any]]:
    """Return the inputs, the scores (N, K) and the attention weights by name."""
    streams = [build_input(name, spec) for name, spec in architecture.streams.items()]
    masks = [stream.mask for stream in streams if stream.mask is not None]
    inputs = [stream.features for stream in streams] + masks

    fusion = FUSIONS[architecture.fusion]
    read = [standardize(stream) for stream in streams if stream.name in fusion.streams]
    tokens = [to_tokens(stream, architecture) for stream in read]
    fused = fusion.build(tokens, architecture.fusion_sizes)
    logits = [fused.logits]
    if architecture.linear_skip:
        logits.append(_linear_skip([summarize(stream) for stream in read]))
    return inputs, TraitScores(name="traits", dtype="float32")(logits), fused.attention


def _linear_skip(summaries: list[Any]) -> Any:
    """Return the logits (N, K) of a linear model of the pooled inputs."""
    features = summaries[0]
    if len(summaries) > 1:
        features = keras.layers.Concatenate(name="summary", dtype="float32")(summaries)
    return LinearSkip(name="linear_skip", dtype="float32")(features)
