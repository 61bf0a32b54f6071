"""The main model with image encoders, e.g. for face crops and optical flow.

Shapes: N clips, T steps, H height, W width, C channels, K traits.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import keras
import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.models.encoders import STANDARDIZE
from pipeline.models.personality_model import (
    GraphReader,
    Moments,
    PersonalityModel,
    check_moments,
)
from pipeline.models.standardize import Standardize

_ENCODERS: Final = "{stream}_steps"
"""Name of the layer that applies the encoder of a stream to every time step."""


@keras.saving.register_keras_serializable(package="pipeline")
class EndToEndModel(keras.Model):
    """Encode the image of every time step, then apply a `PersonalityModel`.

    Args:
        encoders: Stream name -> model from images (H, W, C) to vectors. Streams without an
            encoder are feature streams.
        image_shapes: Stream name -> shape of the images of one clip, (T, H, W, C).
        fusion: Model that predicts the traits from the encoded streams.
        new_encoders: Names of the streams with a new `conv` encoder. `adapt` sets the image
            statistics of these encoders. It does not change loaded encoders.
    """

    def __init__(
        self,
        encoders: Mapping[str, keras.Model],
        image_shapes: Mapping[str, tuple[int, int, int, int]],
        fusion: PersonalityModel,
        new_encoders: Collection[str] = (),
        name: str = "end_to_end_model",
    ) -> None:
        inputs, encoded = [], []
        for tensor in fusion.inputs:
            encoder = encoders.get(tensor.name)
            shape = tensor.shape[1:] if encoder is None else tuple(image_shapes[tensor.name])
            values = keras.Input(shape, name=tensor.name, dtype=tensor.dtype)
            inputs.append(values)
            if encoder is not None:
                layer_name = _ENCODERS.format(stream=tensor.name)
                values = keras.layers.TimeDistributed(encoder, name=layer_name)(values)
                values = keras.layers.LayerNormalization(name=f"{tensor.name}_scale")(values)
            encoded.append(values)
        super().__init__(inputs=inputs, outputs=fusion(encoded), name=name)
        self._encoders = dict(encoders)
        self._image_shapes = {name: tuple(shape) for name, shape in image_shapes.items()}
        self._fusion_model = fusion
        self._new_encoders = sorted(new_encoders)
        self._names = [tensor.name for tensor in fusion.inputs]
        self._encoded = GraphReader(inputs, dict(zip(self._names, encoded, strict=True)))

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Names of the streams, in the order of the inputs."""
        return self._fusion_model.stream_names

    @property
    def trait_names(self) -> tuple[str, ...]:
        """Names of the traits, in the order of the scores."""
        return self._fusion_model.trait_names

    def adapt(
        self, moments: Mapping[str, Moments], *, label_mean: FloatArray | None = None
    ) -> None:
        """Store the statistics of the training clips; see `PersonalityModel.adapt`.

        For an image stream, the moments contain one mean and one variance per channel. Moments of
        streams with a loaded encoder are not needed.
        """
        layers = {name: self._standardizer(name) for name in self.stream_names}
        needed = [name for name, layer in layers.items() if layer is not None]
        for name in check_moments(moments, needed):
            layer = layers[name]
            if layer is not None and layer.trainable:
                layer.set_moments(*moments[name])
        traits = self._fusion_model.get_layer("traits")
        if label_mean is not None and traits.trainable:
            traits.set_label_mean(label_mean)

    @property
    def is_adapted(self) -> bool:
        """Whether the model has statistics of training clips, from `adapt` or from training."""
        layers = [self._standardizer(name) for name in self._new_encoders]
        return self._fusion_model.is_adapted or any(layer.is_set for layer in layers if layer)

    @property
    def loaded_encoders(self) -> tuple[str, ...]:
        """Layer paths of the encoders that were loaded from files."""
        return tuple(
            f"{_ENCODERS.format(stream=stream)}/{encoder.name}"
            for stream, encoder in self._encoders.items()
            if stream not in self._new_encoders
        )

    def attention(self, inputs: Any, *, batch_size: int = 256) -> dict[str, FloatArray]:
        """Return the attention weights; see `PersonalityModel.attention`."""
        encoded = self._encoded.read(inputs, batch_size=batch_size)
        return self._fusion_model.attention(
            [encoded[name] for name in self._names], batch_size=batch_size
        )

    @property
    def has_attention(self) -> bool:
        """Whether the fusion has attention weights."""
        return self._fusion_model.has_attention

    @property
    def attention_keys(self) -> dict[str, int]:
        """Stream name -> number of tokens, for the streams that the fusion uses."""
        return self._fusion_model.attention_keys

    def hidden_step_value(self, stream: str) -> tuple[FloatArray, str]:
        """Return the values that replace a hidden time step, and their description.

        For a loaded encoder, the mean image is unknown. In this case, the values are zero.
        """
        layer = self._standardizer(stream)
        if layer is None:
            return np.zeros(1, np.float32), "zeros (black images)"
        return np.asarray(layer.mean), "the mean of the training clips"

    def get_config(self) -> dict[str, Any]:
        """Return the configuration that Keras saves with the model."""
        serialize = keras.saving.serialize_keras_object
        return {
            "encoders": {name: serialize(encoder) for name, encoder in self._encoders.items()},
            "pictures": {name: list(shape) for name, shape in self._image_shapes.items()},
            "fusion": serialize(self._fusion_model),
            "drawn": self._new_encoders,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> "EndToEndModel":
        """Build the model that `get_config` describes."""
        deserialize = keras.saving.deserialize_keras_object
        return cls(
            {name: deserialize(encoder) for name, encoder in config["encoders"].items()},
            config["pictures"],
            deserialize(config["fusion"]),
            config["drawn"],
            config["name"],
        )

    def _standardizer(self, stream: str) -> Standardize | None:
        """Return the layer that standardizes a stream with statistics of the training clips.

        Returns None for a stream with a loaded encoder, and for a feature stream that the fusion
        does not use.
        """
        if stream in self._encoders:
            if stream not in self._new_encoders:
                return None
            return self._encoders[stream].get_layer(STANDARDIZE)
        if stream not in self._fusion_model.attention_keys:
            return None
        return self._fusion_model.standardizer(stream)
