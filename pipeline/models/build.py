"""Build a model from a configuration and the shapes of the features."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.core.stream_names import DYNAMIC, STATIC
from pipeline.core.traits import TRAITS
from pipeline.models.architecture import RIDGE, attends_to, check_num_steps
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.encoders import CONV, build_encoder
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.fusion import FUSIONS, fused_streams
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.streams import StreamSpec

__all__ = ["StreamSpec", "build_model"]

_ENCODED: Final = (STATIC, DYNAMIC)
"""Names of the streams for which the configuration has an encoder."""


def build_model(
    config: ModelConfig,
    streams: Mapping[str, StreamSpec],
    *,
    traits: Sequence[str] = TRAITS,
    stream_dropout: float = 0.0,
) -> PersonalityModel | EndToEndModel:
    """Build a new model for streams of these shapes, with an encoder for each image stream.

    For static and dynamic streams that are never absent, and the OCEAN traits, the model is a
    `CompletePersonalityModel`. For the arguments, see `PersonalityModel`.

    Raises:
        ModelError: If the configuration is invalid or does not match these shapes.
    """
    settings = dataclasses.asdict(config)
    kinds = {name: settings.pop(f"{name}_encoder") for name in _ENCODED}
    _check_encoders_are_used(config.fusion, kinds, streams)
    is_complete = (
        (tuple(streams), tuple(traits)) == ((STATIC, DYNAMIC), TRAITS)
        and not stream_dropout
        and not any(spec.can_be_absent for spec in streams.values())
    )
    if not is_complete:
        used = fused_streams(config.fusion, tuple(streams))
        streams = {name: streams[name] for name in used}
    specs, encoders, image_shapes, new_encoders = dict(streams), {}, {}, []
    for name, spec in streams.items():
        kind = kinds.get(name, "")
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
    fusion: PersonalityModel
    if is_complete:
        fusion = CompletePersonalityModel.from_streams(specs, **settings)
    else:
        fusion = PersonalityModel(specs, traits, stream_dropout=stream_dropout, **settings)
    if not encoders:
        return fusion
    if config.linear_start == RIDGE:
        raise ModelError(
            f"model.linear_start={RIDGE} needs features, but the {' and '.join(encoders)} stream "
            "contains images. Use model.linear_start=zero."
        )
    return EndToEndModel(encoders, image_shapes, fusion, new_encoders)


def _check_encoders_are_used(
    fusion: str, kinds: Mapping[str, str], streams: Mapping[str, StreamSpec]
) -> None:
    for name, kind in kinds.items():
        # A fusion of one stream ignores the encoders of the others.
        if kind and name not in streams and not FUSIONS[fusion].only_stream:
            raise ModelError(
                f"model.{name}_encoder={kind!r}, but the streams are {', '.join(streams)}. Leave "
                "the encoder empty, or add the stream."
            )


def _check_encoder(place: str, name: str, spec: StreamSpec, kind: str) -> None:
    if spec.image_size is not None and name not in _ENCODED:
        raise ModelError(
            f"{place}: contains images, but only the streams {' and '.join(_ENCODED)} can have an "
            "encoder in the model. Provide encoded features."
        )
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
