"""The flagship with its encoders inside: from face crops and optical flow to five traits.

Shapes: N clips, T steps, H height, W width, C channels, K traits.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.models.attention_probe import AttentionProbe
from pipeline.models.complete_personality_model import CompletePersonalityModel, Moments
from pipeline.models.encoders import STANDARDIZE
from pipeline.models.standardize import Standardize

_ENCODERS: Final = "{stream}_steps"
"""Name of the layer that applies the encoder of a stream to every step."""


@keras.saving.register_keras_serializable(package="pipeline")
class EndToEndModel(keras.Model):
    """A `CompletePersonalityModel` of what encoders see in each step.

    An encoder is applied to every step of its stream; its vectors are brought to one scale, and
    fused as those of any feature set.

    Args:
        encoders: Stream name -> model from pictures (H, W, C) to vectors. A stream without one
            is a stream of features.
        pictures: Stream name -> shape of its pictures (T, H, W, C), of the streams that have
            encoders; an encoder may leave its own height and width open.
        fusion: The model of the encoded streams.
        drawn: Streams whose encoder was built with random weights as `conv`, rather than loaded;
            `adapt` gives it the statistics of its pictures. A loaded one keeps what it came with.
        name: Name of the model.
    """

    def __init__(
        self,
        encoders: Mapping[str, keras.Model],
        pictures: Mapping[str, tuple[int, int, int, int]],
        fusion: CompletePersonalityModel,
        drawn: Collection[str] = (),
        name: str = "end_to_end_model",
    ) -> None:
        inputs, encoded = [], []
        for tensor in fusion.inputs:
            shape = tensor.shape[1:]
            if tensor.name in encoders:
                shape = tuple(pictures[tensor.name])
            given = keras.Input(shape, name=tensor.name, dtype=tensor.dtype)
            inputs.append(given)
            encoded.append(
                _encode(given, encoders[tensor.name]) if tensor.name in encoders else given
            )
        super().__init__(inputs=inputs, outputs=fusion(encoded), name=name)
        self._encoders = dict(encoders)
        self._pictures = {name: tuple(shape) for name, shape in pictures.items()}
        self._fusion_model = fusion
        self._drawn = sorted(drawn)
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

        A layer that is frozen keeps what it has.

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
            if layer is not None and layer.trainable:
                layer.set_moments(*moments)
        if label_mean is not None and self._fusion_model.get_layer("traits").trainable:
            self._fusion_model.set_label_mean(label_mean)

    @property
    def is_adapted(self) -> bool:
        """Whether it knows some training rows already: by `adapt`, or from a training."""
        encoders = [self._standardizer(name) for name in self._drawn]
        return self._fusion_model.is_adapted or any(
            layer is not None and layer.is_set for layer in encoders
        )

    @property
    def loaded_encoders(self) -> tuple[str, ...]:
        """Paths of the encoders that came with weights of their own."""
        return tuple(
            f"{_ENCODERS.format(stream=stream)}/{encoder.name}"
            for stream, encoder in self._encoders.items()
            if stream not in self._drawn
        )

    def attention(self, inputs: Any, *, batch_size: int = 256) -> dict[str, FloatArray]:
        """Return who looked where; see `CompletePersonalityModel.attention`."""
        encoded = self._encoded.read(inputs, batch_size=batch_size)
        return self._fusion_model.attention(
            [encoded[name] for name in self._names], batch_size=batch_size
        )

    @property
    def attends(self) -> bool:
        """Whether the fusion has attention to show."""
        return self._fusion_model.attends

    @property
    def attention_keys(self) -> dict[str, int]:
        """How many tokens each stream has for attention to look at."""
        return self._fusion_model.attention_keys

    def stand_in(self, stream: str) -> tuple[FloatArray, str]:
        """Return what a step is replaced by to hide it, and what that is in words.

        Of an encoder with a preprocessing of its own, no mean of the training clips is known.
        """
        layer = self._standardizer(stream)
        if layer is None:
            return np.zeros(1, np.float32), "zeros (of a picture: black)"
        return np.asarray(layer.mean), "the mean of the training clips"

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            "encoders": {name: serialize(encoder) for name, encoder in self._encoders.items()},
            "pictures": {name: list(shape) for name, shape in self._pictures.items()},
            "fusion": serialize(self._fusion_model),
            "drawn": self._drawn,
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
        return cls(
            encoders,
            config["pictures"],
            deserialize(config["fusion"]),
            config["drawn"],
            config["name"],
        )

    def _standardizer(self, stream: str) -> Standardize | None:
        """Return the layer with the statistics of a stream; None where this model sets none."""
        if stream in self._encoders:
            if stream not in self._drawn:
                return None
            layer = self._encoders[stream].get_layer(STANDARDIZE)
            return layer if isinstance(layer, Standardize) else None
        if stream not in self._fusion_model.attention_keys:
            return None
        return self._fusion_model.standardizer(stream)


def _encode(pictures: Any, encoder: keras.Model) -> Any:
    """Return one vector a step, all of them on one scale."""
    stream = pictures.name
    each_step = keras.layers.TimeDistributed(encoder, name=_ENCODERS.format(stream=stream))
    vectors = each_step(pictures)
    return keras.layers.LayerNormalization(name=f"{stream}_scale")(vectors)
