"""The main model: two feature streams, cross-attention fusion, scores of five traits.

Shapes: N clips, T steps, C features, S static tokens, D dynamic tokens, F fusion width, H heads,
K traits.
"""

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ModelError
from pipeline.models.architecture import Architecture
from pipeline.models.fusion import FUSIONS, FusionSizes
from pipeline.models.heads import LinearSkip, TraitScores
from pipeline.models.standardize import Standardize
from pipeline.models.streams import build_input, standardize, summarize, to_tokens

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
        arrays = keras.tree.map_structure(np.asarray, inputs)
        num_clips = len(keras.tree.flatten(arrays)[0])
        # `predict` is not used: each call builds a data set, which is slow for a few clips.
        parts = []
        for begin in range(0, num_clips, batch_size):
            clips = slice(begin, begin + batch_size)
            batch = keras.tree.map_structure(operator.itemgetter(clips), arrays)
            parts.append(self._model.predict_on_batch(batch))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._tensors}


@keras.saving.register_keras_serializable(package="pipeline")
class CompletePersonalityModel(keras.Model):
    """Predict the five traits of a clip from static and dynamic features.

    Each stream is standardized and mapped to tokens. Cross-attention blocks exchange information
    between the streams. One learned query per trait attends to the tokens of both streams, and
    one head per trait computes a logit. With `linear_skip`, the logits of a linear model of the
    pooled inputs are added before the soft clip to [0, 1].

    The inputs are a list: `static`, `dynamic`, then `static_mask` and `dynamic_mask` for masked
    streams. A dict with these names is also accepted. A mask is True or 1 for a real step. The
    output contains scores in [0, 1] in OCEAN order, shape (N, K), float32.

    Args:
        static_dim: Number of static features.
        dynamic_dim: Number of dynamic features.
        fusion_dim: Width F of every token.
        num_heads: Number of attention heads H, a divisor of `fusion_dim`.
        dropout_rate: Dropout rate during training, in [0, 1).
        static_steps: Number of time steps T of the static stream, shape (N, T, C); None if the
            stream has one vector per clip, shape (N, C).
        dynamic_steps: The same number for the dynamic stream.
        static_masked: Whether the model has an input `static_mask`, shape (N, T).
        dynamic_masked: Whether the model has an input `dynamic_mask`, shape (N, T).
        num_tokens: Number of learned tokens for a stream of one vector per clip.
        num_blocks: Number of blocks in the fusion `cross_attention`.
        feed_forward_factor: Hidden width of the feed-forward layers, in multiples of F.
        fusion: Name of the fusion, one of `FUSIONS`.
        linear_skip: Whether the output of a linear model of the pooled inputs is added to the
            logits.

    Raises:
        ModelError: If an argument or a combination of arguments is invalid.
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
        self._attention_reader = GraphReader(inputs, attention)

    def adapt(
        self,
        *,
        static_moments: Moments,
        dynamic_moments: Moments,
        label_mean: FloatArray | None = None,
    ) -> None:
        """Store the statistics of the training clips in the model, before training.

        The moments are means and variances across clips and real steps. Frozen layers and unused
        streams do not change. After this call, the predictions of a new model are close to
        `label_mean`, shape (K,).

        Raises:
            ModelError: If a shape or a value is invalid.
        """
        moments = {"static": static_moments, "dynamic": dynamic_moments}
        for name in self._fusion.streams:
            layer = self.standardizer(name)
            if layer.trainable:
                layer.set_moments(*moments[name])
        traits = self.get_layer("traits")
        if label_mean is not None and traits.trainable:
            traits.set_label_mean(label_mean)

    @property
    def is_adapted(self) -> bool:
        """Whether the model has statistics of training clips, from `adapt` or from training."""
        layers = [self.standardizer(name) for name in self._fusion.streams]
        return any(layer.is_set for layer in (*layers, self.get_layer("traits")))

    def standardizer(self, stream: str) -> Standardize:
        """Return the `Standardize` layer of a stream that the fusion uses."""
        return self.get_layer(f"{stream}_standardize")

    def attention(self, inputs: Any, *, batch_size: int = 256) -> dict[str, FloatArray]:
        """Return name -> attention weights of every clip. `inputs` are the same as for `predict`.

        Each row of weights sums to 1. The weights of padding are 0.

        Returns:
            Cross-attention: for each block, `"block_1/static_to_dynamic"` (N, H, S, D), from static
            queries to dynamic keys, and `"block_1/dynamic_to_static"` (N, H, D, S); then `"traits"`
            (N, H, K, S + D), static keys first. Single stream: `"traits"` (N, H, K, T). Late
            fusion: `"static/traits"` and `"dynamic/traits"`.

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
        return {name: self.architecture.num_keys(name) for name in self._fusion.streams}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**dataclasses.asdict(self.architecture), "name": self.name}

    @property
    def _fusion(self) -> Any:
        return FUSIONS[self.architecture.fusion]


# The older `.h5` format stores the class name without the package name. Therefore the class is also
# registered without the package name.
keras.saving.get_custom_objects()["CompletePersonalityModel"] = CompletePersonalityModel


def _build_graph(architecture: Architecture) -> tuple[list[Any], Any, Mapping[str, Any]]:
    """Return three values: the inputs, the scores (N, K), and name -> attention weights."""
    streams = [build_input(name, spec) for name, spec in architecture.streams.items()]
    masks = [stream.mask for stream in streams if stream.mask is not None]
    inputs = [stream.values for stream in streams] + masks

    fusion = FUSIONS[architecture.fusion]
    used = [standardize(stream) for stream in streams if stream.name in fusion.streams]
    tokens = [
        to_tokens(
            stream,
            num_tokens=architecture.num_tokens,
            width=architecture.fusion_dim,
            dropout_rate=architecture.dropout_rate,
        )
        for stream in used
    ]
    sizes = FusionSizes(
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
        logits.append(LinearSkip(name="linear_skip", dtype="float32")(features))
    return inputs, TraitScores(name="traits", dtype="float32")(logits), attention
