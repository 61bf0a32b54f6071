"""The main model for two streams and the OCEAN traits.

Shapes: N clips, T steps, C features.
"""

from collections.abc import Mapping
from typing import Any

import keras

from pipeline.models.architecture import Architecture
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.streams import StreamSpec


@keras.saving.register_keras_serializable(package="pipeline")
class CompletePersonalityModel(PersonalityModel):
    """Predict the five OCEAN traits of a clip from static and dynamic features.

    This is a `PersonalityModel` with the streams `static` and `dynamic` and the traits `TRAITS`.
    Other arguments are the same. If the fusion uses a single stream, the model still has the inputs
    of both streams.

    Args:
        static_dim: Number of static features.
        dynamic_dim: Number of dynamic features.
        static_steps: Number of time steps T of the static stream, shape (N, T, C); None if the
            stream has one vector per clip, shape (N, C).
        dynamic_steps: The same number for the dynamic stream.
        static_masked: Whether the model has an input `static_mask`, shape (N, T).
        dynamic_masked: Whether the model has an input `dynamic_mask`, shape (N, T).

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
        linear_start: str = "zero",
        name: str = "complete_personality_model",
    ) -> None:
        streams = {
            "static": StreamSpec(width=static_dim, num_steps=static_steps, masked=static_masked),
            "dynamic": StreamSpec(
                width=dynamic_dim, num_steps=dynamic_steps, masked=dynamic_masked
            ),
        }
        super().__init__(
            streams,
            fusion_dim=fusion_dim,
            num_heads=num_heads,
            dropout_rate=dropout_rate,
            num_tokens=num_tokens,
            num_blocks=num_blocks,
            feed_forward_factor=feed_forward_factor,
            fusion=fusion,
            linear_skip=linear_skip,
            linear_start=linear_start,
            name=name,
        )

    @classmethod
    def from_streams(
        cls, streams: Mapping[str, StreamSpec], **settings: Any
    ) -> "CompletePersonalityModel":
        """Build a model for the streams `static` and `dynamic` of these shapes."""
        return cls(**_flat(streams), **settings)

    @staticmethod
    def _with_inputs(architecture: Architecture) -> Architecture:
        return architecture

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        config = super().get_config()
        for entry in ("streams", "traits", "stream_dropout"):
            del config[entry]
        return {**config, **_flat(self.architecture.streams)}


def _flat(streams: Mapping[str, StreamSpec]) -> dict[str, Any]:
    """Return the shapes of the streams as arguments of the model."""
    arguments: dict[str, Any] = {}
    for name, spec in streams.items():
        arguments[f"{name}_dim"] = spec.width
        arguments[f"{name}_steps"] = spec.num_steps
        arguments[f"{name}_masked"] = spec.masked
    return arguments


# See the registration of `PersonalityModel`.
keras.saving.get_custom_objects()["CompletePersonalityModel"] = CompletePersonalityModel
