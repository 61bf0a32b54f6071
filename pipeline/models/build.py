"""Build a model from a configuration and the shapes of the features."""

import dataclasses

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models.architecture import attends_to, check_num_steps
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.encoders import CONV, build_encoder
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.streams import StreamSpec

__all__ = ["StreamSpec", "build_model"]


def build_model(
    config: ModelConfig, *, static: StreamSpec, dynamic: StreamSpec
) -> CompletePersonalityModel | EndToEndModel:
    """Build a new model for streams of these shapes, with an encoder for each image stream.

    Raises:
        ModelError: If the configuration is invalid or does not match these shapes.
    """
    settings = dataclasses.asdict(config)
    specs = {"static": static, "dynamic": dynamic}
    encoders, image_shapes, new_encoders = {}, {}, []
    for name, spec in specs.items():
        kind = settings.pop(f"{name}_encoder")
        place = spec.source or f"The {name} stream"
        _check_encoder(place, name, spec, kind)
        if attends_to(config.fusion, name):
            check_num_steps(place, spec)
        if spec.image_size is not None:
            image_shape = (*spec.image_size, spec.width)
            encoders[name] = build_encoder(kind, image_shape, name=f"{name}_encoder")
            image_shapes[name] = (spec.num_steps or 1, *image_shape)
            if kind == CONV:
                new_encoders.append(name)
            width = encoders[name].output_shape[-1]
            specs[name] = dataclasses.replace(spec, width=width, image_size=None)
    static, dynamic = specs["static"], specs["dynamic"]
    fusion = CompletePersonalityModel(
        static.width,
        dynamic.width,
        static_steps=static.num_steps,
        dynamic_steps=dynamic.num_steps,
        static_masked=static.masked,
        dynamic_masked=dynamic.masked,
        **settings,
    )
    if not encoders:
        return fusion
    return EndToEndModel(encoders, image_shapes, fusion, new_encoders)


def _check_encoder(place: str, name: str, spec: StreamSpec, kind: str) -> None:
    if spec.image_size is not None and not kind:
        height, width = spec.image_size
        raise ModelError(
            f"{place}: contains images of {height} x {width} pixels, but model.{name}_encoder is "
            "not set. Set it to conv or to a .keras file, or provide encoded features."
        )
    if spec.image_size is None and kind:
        raise ModelError(
            f"model.{name}_encoder={kind!r}, but {place} contains features, not images of shape "
            "(clips, steps, height, width, channels). Leave the encoder empty."
        )
