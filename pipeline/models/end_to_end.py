"""The flagship with its encoders inside: from face crops and optical flow to five traits.

Shapes: N clips, T steps, H height, W width, C channels, K traits.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.models.attention_probe import AttentionProbe
from pipeline.models.complete_personality_model import CompletePersonalityModel, Moments

_STANDARDIZE = "standardize"


@keras.saving.register_keras_serializable(package="pipeline")
class EndToEndModel(keras.Model):
    """A `CompletePersonalityModel` of what encoders see in each step.

    An encoder is applied to every step of its stream; its vectors are brought to one scale, and
    fused as those of any feature set. Encoders come frozen, so that at first only the fusion
    learns: `training.trainable` lets their layers learn too.

    Args:
        encoders: Stream name -> model from pictures (H, W, C) to vectors. A stream without one
            is a stream of features.
        steps: Stream name -> number of steps T, of the streams that have encoders.
        fusion: The model of the encoded streams.
        name: Name of the model.
    """

    def __init__(
        self,
        encoders: Mapping[str, keras.Model],
        steps: Mapping[str, int],
        fusion: CompletePersonalityModel,
        name: str = "end_to_end_model",
    ) -> None:
        inputs, encoded = [], []
        for tensor in fusion.inputs:
            shape = tensor.shape[1:]
            if tensor.name in encoders:
                shape = (steps[tensor.name], *encoders[tensor.name].input_shape[1:])
            given = keras.Input(shape, name=tensor.name, dtype=tensor.dtype)
            inputs.append(given)
            encoded.append(
                _encode(given, encoders[tensor.name]) if tensor.name in encoders else given
            )
        super().__init__(inputs=inputs, outputs=fusion(encoded), name=name)
        self._encoders = dict(encoders)
        self._steps = dict(steps)
        self._fusion_model = fusion
        self._names = [tensor.name for tensor in fusion.inputs]
        self._encoded = AttentionProbe(inputs, dict(zip(self._names, encoded, strict=True)))

    def adapt(
        self,
        *,
        static_moments: Moments,
        dynamic_moments: Moments,
        label_mean: FloatArray | None = None,
    ) -> None:
        """Set what the model knows about the training rows before the first step.

        Args:
            static_moments: Mean and variance of the static features or, of pictures, of their
                channels.
            dynamic_moments: The same for the dynamic stream.
            label_mean: Mean score of each trait, shape (K,).

        Raises:
            ModelError: If a shape is wrong or a value cannot be used.
        """
        for name, moments in {"static": static_moments, "dynamic": dynamic_moments}.items():
            layer = self._standardizer(name)
            if layer is not None:
                layer.set_moments(*moments)
        if label_mean is not None:
            self._fusion_model.set_label_mean(label_mean)

    def attention(self, inputs: Any, *, batch_size: int = 256) -> dict[str, FloatArray]:
        """Return who looked where; see `CompletePersonalityModel.attention`."""
        encoded = self._encoded.read(inputs, batch_size=batch_size)
        return self._fusion_model.attention(
            [encoded[name] for name in self._names], batch_size=batch_size
        )

    @property
    def attention_keys(self) -> dict[str, int]:
        """How many tokens each stream has for attention to look at."""
        return self._fusion_model.attention_keys

    def stand_in(self, stream: str) -> FloatArray:
        """Return what a step is replaced by to hide it: the mean of the training clips.

        Of an encoder with a preprocessing of its own, no mean is known; it is black then.
        """
        layer = self._standardizer(stream)
        return np.zeros(1, np.float32) if layer is None else np.asarray(layer.mean)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            "encoders": {name: serialize(encoder) for name, encoder in self._encoders.items()},
            "steps": self._steps,
            "fusion": serialize(self._fusion_model),
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> "EndToEndModel":
        """Build the model that `get_config` describes."""
        del custom_objects  # every part of the model is registered
        deserialize = keras.saving.deserialize_keras_object
        encoders = {name: deserialize(each) for name, each in config["encoders"].items()}
        return cls(encoders, config["steps"], deserialize(config["fusion"]), config["name"])

    def _standardizer(self, stream: str) -> Any:
        """Return the layer with the statistics of a stream; None where there is none."""
        if stream in self._encoders:
            layers = self._encoders[stream].layers
            return next((layer for layer in layers if layer.name == _STANDARDIZE), None)
        wanted = f"{stream}_{_STANDARDIZE}"
        return next((each for each in self._fusion_model.layers if each.name == wanted), None)


def _encode(pictures: Any, encoder: keras.Model) -> Any:
    """Return one vector a step, all of them on one scale."""
    stream = pictures.name
    vectors = keras.layers.TimeDistributed(encoder, name=f"{stream}_steps")(pictures)
    return keras.layers.LayerNormalization(name=f"{stream}_scale")(vectors)
