"""Check the arguments of a model before its weights are created."""

from dataclasses import dataclass
from numbers import Integral

from pipeline.core.errors import ModelError
from pipeline.core.near_names import nearest_name
from pipeline.models.fusion import FUSIONS
from pipeline.models.streams import StreamSpec


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Checked arguments of `CompletePersonalityModel`; see the docstring of that class.

    Raises:
        ModelError: If an argument or a combination of arguments is invalid.
    """

    static_dim: int
    dynamic_dim: int
    fusion_dim: int
    num_heads: int
    dropout_rate: float
    static_steps: int | None
    dynamic_steps: int | None
    static_masked: bool
    dynamic_masked: bool
    num_tokens: int
    num_blocks: int
    feed_forward_factor: int
    fusion: str
    linear_skip: bool

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            near = nearest_name(str(self.fusion), FUSIONS, cutoff=0.0)
            raise ModelError(
                f"fusion={self.fusion!r} is unknown; did you mean {near!r}? "
                f"Choose one of {', '.join(FUSIONS)}."
            )
        self._check_numbers()
        self._check_heads()
        for name in ("static", "dynamic"):
            self._check_stream(name)

    @property
    def streams(self) -> dict[str, StreamSpec]:
        """Stream name -> shape, in the order of the model inputs."""
        return {
            "static": StreamSpec(
                width=self.static_dim, num_steps=self.static_steps, masked=self.static_masked
            ),
            "dynamic": StreamSpec(
                width=self.dynamic_dim, num_steps=self.dynamic_steps, masked=self.dynamic_masked
            ),
        }

    def num_keys(self, name: str) -> int:
        """Return the number of tokens of the stream `name`."""
        return self.streams[name].num_steps or self.num_tokens

    def _check_numbers(self) -> None:
        for name in (
            "static_dim", "dynamic_dim", "num_heads", "num_tokens", "num_blocks",
            "feed_forward_factor",
        ):  # fmt: skip
            _check_count(name, getattr(self, name))
        # Layer normalization gives 0 for every token of width 1. Such tokens have no information.
        _check_count("fusion_dim", self.fusion_dim, minimum=2)
        for name in ("static_steps", "dynamic_steps"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        rate: object = self.dropout_rate
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ModelError(f"dropout_rate must be a number in [0, 1), e.g. 0.3, but is {rate!r}.")

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

    def _check_stream(self, name: str) -> None:
        spec = self.streams[name]
        if spec.masked and spec.num_steps is None:
            raise ModelError(
                f"{name}_masked=True, but {name}_steps=None: a stream of one vector per clip has "
                f"no steps to mask. Drop the mask or set {name}_steps."
            )
        if not attends_to(self.fusion, name):
            return
        check_num_steps(f"{name}_steps=1", spec)
        if spec.num_steps is None and self.num_tokens == 1:
            raise ModelError(
                f"num_tokens=1: attention over one key is always 1, and the {name} stream has one "
                "vector per clip. Use num_tokens=2 or more."
            )


def attends_to(fusion: str, stream: str) -> bool:
    """Return True if a fusion uses attention over a stream; False for an unknown fusion."""
    return fusion in FUSIONS and FUSIONS[fusion].has_attention and stream in FUSIONS[fusion].streams


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
            "`array[:, 0]`, without a mask: the model then creates num_tokens learned tokens "
            "from each vector"
        )
    raise ModelError(
        f"{place}: has one step per clip, and attention over one key is always 1. {fix}; or "
        "choose a fusion without attention, such as concat."
    )


def _check_count(name: str, value: object, *, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ModelError(f"{name} must be a whole number of {minimum} or more, but is {value!r}.")
