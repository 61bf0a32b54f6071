"""Check the arguments of a model before its weights are created."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Final

from pipeline.core.errors import ModelError
from pipeline.core.near_names import nearest_name
from pipeline.core.stream_names import stream_name_fault
from pipeline.models.fusion import FUSIONS, fused_streams
from pipeline.models.streams import StreamSpec

RIDGE: Final = "ridge"
"""Value of `linear_start`: the linear model is a ridge regression, which is not trained."""

LINEAR_STARTS: Final = ("zero", RIDGE)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Checked arguments of `PersonalityModel`; see the docstring of that class.

    Raises:
        ModelError: If an argument or a combination of arguments is invalid.
    """

    streams: Mapping[str, StreamSpec]
    traits: Sequence[str]
    fusion_dim: int
    num_heads: int
    dropout_rate: float
    num_tokens: int
    num_blocks: int
    feed_forward_factor: int
    fusion: str
    linear_skip: bool
    linear_start: str
    stream_dropout: float

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            near = nearest_name(str(self.fusion), FUSIONS, cutoff=0.0)
            raise ModelError(
                f"fusion={self.fusion!r} is unknown; did you mean {near!r}? "
                f"Choose one of {', '.join(FUSIONS)}."
            )
        if self.linear_start not in LINEAR_STARTS or (
            self.linear_start == RIDGE and not self.linear_skip
        ):
            raise ModelError(
                f"linear_start={self.linear_start!r}, but must be one of "
                f"{', '.join(LINEAR_STARTS)}; {RIDGE} needs linear_skip=True."
            )
        self._check_numbers()
        self._check_heads()
        self._check_names()
        for name in self.streams:
            self._check_stream(name)
        if self.stream_dropout and len(self.fused_streams) == 1:
            raise ModelError(
                f"stream_dropout={self.stream_dropout}: the model uses one stream, and a clip "
                "never loses its only stream. Set stream_dropout to 0, or use more streams."
            )

    @property
    def fused_streams(self) -> tuple[str, ...]:
        """Names of the streams that the fusion uses."""
        return fused_streams(self.fusion, tuple(self.streams))

    def num_keys(self, name: str) -> int:
        """Return the number of tokens of the stream `name`."""
        return self.streams[name].num_steps or self.num_tokens

    def _check_numbers(self) -> None:
        for name in ("num_heads", "num_tokens", "num_blocks", "feed_forward_factor"):
            _check_count(name, getattr(self, name))
        # Layer normalization gives 0 for every token of width 1. Such tokens have no information.
        _check_count("fusion_dim", self.fusion_dim, minimum=2)
        for name in ("dropout_rate", "stream_dropout"):
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise ModelError(f"{name} must be a number in [0, 1), e.g. 0.3, but is {rate!r}.")

    def _check_heads(self) -> None:
        if self.fusion_dim % self.num_heads == 0:
            return
        divisors = [n for n in range(1, self.fusion_dim + 1) if self.fusion_dim % n == 0]
        num_below = sum(n < self.num_heads for n in divisors)
        choice = " or ".join(map(str, divisors[num_below - 1 : num_below + 1]))
        raise ModelError(
            f"num_heads={self.num_heads} does not divide fusion_dim={self.fusion_dim}, but all "
            f"heads must have equal width. Use num_heads={choice}."
        )

    def _check_names(self) -> None:
        if not self.streams:
            raise ModelError("streams is empty, but the model needs one stream or more.")
        for name in self.streams:
            if fault := stream_name_fault(name):
                raise ModelError(f"The stream name {name!r} {fault}. Rename the stream.")
        fused_streams(self.fusion, tuple(self.streams))
        traits = self.traits
        is_list = not isinstance(traits, str) and all(isinstance(name, str) for name in traits)
        if not is_list or not traits or not all(traits) or len({*traits}) < len(traits):
            raise ModelError(
                "traits must contain one or more different names, e.g. ['openness'], but is "
                f"{traits!r}."
            )

    def _check_stream(self, name: str) -> None:
        spec = self.streams[name]
        _check_count(f"The width of the {name} stream", spec.width)
        if spec.num_steps is not None:
            _check_count(f"The number of steps of the {name} stream", spec.num_steps)
        if spec.image_size is not None:
            raise ModelError(
                f"The {name} stream contains images, which need an encoder. Use `build_model`."
            )
        if spec.can_be_absent and not spec.masked and not self.stream_dropout:
            raise ModelError(
                f"The {name} stream can be absent, but has no mask, so no clip can lack it. "
                "Set masked=True."
            )
        if not attends_to(self.fusion, name):
            return
        check_num_steps(f"The {name} stream", spec)
        if spec.num_steps is None and self.num_tokens == 1:
            raise ModelError(
                f"num_tokens=1: attention over one key is always 1, and the {name} stream has one "
                "vector per clip. Use num_tokens=2 or more."
            )


def read_streams(
    streams: Mapping[str, StreamSpec | Mapping[str, Any]], *, stream_dropout: float
) -> dict[str, StreamSpec]:
    """Return stream name -> shape. With stream dropout, every stream can be absent.

    Raises:
        ModelError: If a description contains an unknown entry or no width.
    """
    specs = {}
    for name, spec in streams.items():
        try:
            read = spec if isinstance(spec, StreamSpec) else StreamSpec(**spec)
        except TypeError as error:
            known = ", ".join(each.name for each in dataclasses.fields(StreamSpec))
            raise ModelError(
                f"The {name} stream is described by {spec!r}, but must be a StreamSpec, or a "
                f"dict with a width and other entries from: {known}."
            ) from error
        can_be_absent = read.can_be_absent or bool(stream_dropout)
        specs[name] = dataclasses.replace(read, can_be_absent=can_be_absent)
    return specs


def attends_to(fusion: str, stream: str) -> bool:
    """Return True if a fusion uses attention over a stream; False for an unknown fusion."""
    if fusion not in FUSIONS:
        return False
    only = FUSIONS[fusion].only_stream
    return FUSIONS[fusion].has_attention and only in ("", stream)


def check_num_steps(place: str, spec: StreamSpec) -> None:
    """Check that attention over the stream has more than one key.

    Raises:
        ModelError: If the stream has one step per clip. The message begins with `place`.
    """
    if spec.num_steps != 1:
        return
    if spec.image_size is not None:
        fix = "Provide two or more images per clip"
    else:
        fix = (
            f"Store the stream as (N, {spec.width}) instead of (N, 1, {spec.width}), for instance "
            "`array[:, 0]`: the model then creates num_tokens learned tokens from each vector"
        )
    raise ModelError(
        f"{place}: has one step per clip, and attention over one key is always 1. {fix}; or "
        "choose a fusion without attention, such as concat."
    )


def _check_count(name: str, value: object, *, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ModelError(f"{name} must be a whole number of {minimum} or more, but is {value!r}.")
