"""From a configuration and the shapes of the features to a model."""

import dataclasses

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.models.architecture import StreamSpec, attends_to, check_num_steps
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.encoders import CONV, build_encoder
from pipeline.models.end_to_end import EndToEndModel

__all__ = ["StreamSpec", "build_model"]


def build_model(
    config: ModelConfig, *, static: StreamSpec, dynamic: StreamSpec
) -> CompletePersonalityModel | EndToEndModel:
    """Return a new model for features of these shapes; pictures take an encoder inside of it.

    Raises:
        ModelError: If the configuration does not fit itself or the features.
    """
    specs = {"static": static, "dynamic": dynamic}
    encoders, pictures, drawn = {}, {}, []
    for name, spec in specs.items():
        kind = config.static_encoder if name == "static" else config.dynamic_encoder
        place = spec.source or f"The {name} stream"
        _check_encoder(place, name, spec, kind)
        if attends_to(config.fusion, name):
            check_num_steps(place, spec)
        if spec.picture is not None:
            picture = (*spec.picture, spec.width)
            encoders[name] = build_encoder(kind, picture, name=f"{name}_encoder")
            pictures[name] = (spec.num_steps or 1, *picture)
            if kind == CONV:
                drawn.append(name)
            width = encoders[name].output_shape[-1]
            specs[name] = dataclasses.replace(spec, width=width, picture=None)
    fusion = _build_fusion(config, **specs)
    if not encoders:
        return fusion
    return EndToEndModel(encoders, pictures, fusion, drawn)


def _check_encoder(place: str, name: str, spec: StreamSpec, kind: str) -> None:
    if spec.picture is not None and not kind:
        raise ModelError(
            f"{place} holds pictures of {spec.picture[0]} x {spec.picture[1]} pixels, and "
            f"model.{name}_encoder is not set. Set it to conv or to a .keras file, or give "
            "features that are encoded already."
        )
    if spec.picture is None and kind:
        raise ModelError(
            f"model.{name}_encoder={kind!r}, but {place} holds features, not pictures of shape "
            "(clips, steps, height, width, channels). Leave the encoder empty."
        )


def _build_fusion(
    config: ModelConfig, *, static: StreamSpec, dynamic: StreamSpec
) -> CompletePersonalityModel:
    return CompletePersonalityModel(
        static.width,
        dynamic.width,
        config.fusion_dim,
        config.num_heads,
        config.dropout_rate,
        static_steps=static.num_steps,
        dynamic_steps=dynamic.num_steps,
        static_masked=static.masked,
        dynamic_masked=dynamic.masked,
        num_tokens=config.num_tokens,
        num_blocks=config.num_blocks,
        feed_forward_factor=config.feed_forward_factor,
        fusion=config.fusion,
        linear_skip=config.linear_skip,
    )
