"""What was measured of a model's attention: taken once, then drawn without the model.

Shapes: N clips, M named clips, H heads, Q queries, T keys of one stream, K traits, P points
of a curve, R draws.

A map has a name: `block_1/static_to_dynamic` holds the weights of static queries on dynamic
keys, `traits` those of the trait queries on the keys of all streams, one stream after the
other, and `static/traits` those on one stream alone. NaN stands for padding.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_arrays, write_arrays

TRAIT_QUERIES: Final = "traits"
"""Name of the queries of the traits, and of their map."""

FRAMES: Final = "face frames"
WINDOWS: Final = "flow windows"
LEARNED_TOKENS: Final = "learned tokens"
"""What a key is: a step of a stream, or a token read off one vector a clip."""

WHOLE: Final = "attention"
"""Name in `AttentionMeasurements.missing` of everything at once."""

_FORMAT: Final = 1
_ARRAYS_BY_NAME: Final = (
    "mean_maps", "entropy", "agreement", "trait_attention", "trait_rollout",
    "sample_maps", "sample_trait_attention", "sample_trait_rollout",
    "trait_share", "trait_attention_even", "trait_rollout_even",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class DeletionCurves:
    """What hiding the steps of one stream does to the predictions.

    Curves are named `<ranking>/top` (the highest ranked first), `<ranking>/bottom` (the
    lowest first) and `random`, of shape (R, P); R is 1 where nothing is drawn.
    """

    hidden_by: str
    """How a step is hidden, e.g. `mask`."""
    num_clips: int
    """Clips behind every point."""
    hidden_share: FloatArray
    """Share of a clip's real steps that is hidden, from 0 to 1, shape (P,)."""
    movement: Mapping[str, FloatArray]
    """Mean absolute change of the scores, over clips and traits, in score units."""
    error: Mapping[str, FloatArray] = field(default_factory=dict)
    """Mean absolute error of the scores, in score units; empty without labels."""

    @property
    def rankings(self) -> tuple[str, ...]:
        """Names of the rankings, in the order in which they were measured."""
        return tuple(name.removesuffix("/top") for name in self.movement if name.endswith("/top"))

    def area(self, curve: str) -> float:
        """Return the mean movement under a curve, in score units.

        Larger for the top than at random: the ranking finds steps that matter.

        Reference: Samek et al., 2017 (doi:10.1109/TNNLS.2016.2599820), the area over the
            perturbation curve; here by the trapezoidal rule, over shares of the steps.
        """
        return float(np.trapezoid(self.movement[curve].mean(axis=0), self.hidden_share))


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionMeasurements:
    """Where a model looked, how surely, and whether that is what decides its scores."""

    clip_ids: tuple[str, ...] = ()
    """The clips that were measured, N names."""
    key_kinds: Mapping[str, str] = field(default_factory=dict)
    """What the keys of each stream are, in the order in which maps hold the streams."""
    num_keys: Mapping[str, int] = field(default_factory=dict)
    """How many keys each stream has, T."""
    mean_maps: Mapping[str, FloatArray] = field(default_factory=dict)
    """Mean weights by map, over the clips in which query and key are real, shape (H, Q, T)."""
    entropy: Mapping[str, FloatArray] = field(default_factory=dict)
    """Normalised entropy by map, in [0, 1], shape (N, H); NaN over a single real key."""
    agreement: Mapping[str, FloatArray] = field(default_factory=dict)
    """Mean agreement of heads by map, in [0, 1], shape (H, H)."""
    trait_attention: Mapping[str, FloatArray] = field(default_factory=dict)
    """Mean weights of the traits by stream, over clips and heads, shape (K, T)."""
    trait_rollout: Mapping[str, FloatArray] = field(default_factory=dict)
    """The same, followed back through the blocks; empty for a model without blocks."""
    trait_share: Mapping[str, FloatArray] = field(default_factory=dict)
    """Share of its attention that each trait gives to a stream, mean over clips, shape (K,)."""
    trait_attention_even: Mapping[str, FloatArray] = field(default_factory=dict)
    """What `trait_attention` would be, had the traits looked alike at all real steps of a
    stream, shape (T,): a step that only long clips have is one of many."""
    trait_rollout_even: Mapping[str, FloatArray] = field(default_factory=dict)
    """The same of `trait_rollout`."""
    sample_ids: tuple[str, ...] = ()
    """The named clips, M names."""
    sample_maps: Mapping[str, FloatArray] = field(default_factory=dict)
    """Weights of the named clips by map, shape (M, H, Q, T)."""
    sample_trait_attention: Mapping[str, FloatArray] = field(default_factory=dict)
    """Weights of the traits in the named clips by stream, shape (M, K, T)."""
    sample_trait_rollout: Mapping[str, FloatArray] = field(default_factory=dict)
    """The same, followed back through the blocks."""
    deletions: Mapping[str, DeletionCurves] = field(default_factory=dict)
    """What hiding steps does, by stream."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why something was not measured: by map, by stream (its deletion), or `WHOLE`."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams, in the order in which maps hold them."""
        return tuple(self.key_kinds)


def queries_and_keys(name: str, streams: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return what asks in a map, a stream or the traits, and the streams that are asked.

    Args:
        name: Name of a map.
        streams: All streams, in the order in which maps hold them.
    """
    prefix, _, direction = name.rpartition("/")
    if direction == TRAIT_QUERIES:
        return TRAIT_QUERIES, (prefix,) if prefix else tuple(streams)
    query, key = direction.split("_to_")
    return query, (key,)


def write_attention(path: Path, measurements: AttentionMeasurements) -> None:
    """Write measurements to an `.npz` of plain arrays, atomically."""
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(_FORMAT),
        "clip_ids": np.array(measurements.clip_ids, dtype=np.str_),
        "sample_ids": np.array(measurements.sample_ids, dtype=np.str_),
        **_named("key_kinds", measurements.key_kinds),
        **_named("num_keys", measurements.num_keys),
        **_named("missing", measurements.missing),
    }
    for field_name in _ARRAYS_BY_NAME:
        arrays |= _named(field_name, getattr(measurements, field_name))
    for stream, curves in measurements.deletions.items():
        for part in dataclasses.fields(curves):
            value = getattr(curves, part.name)
            prefix = f"deletions/{stream}"
            if isinstance(value, Mapping):
                arrays |= _named(f"{prefix}/{part.name}", value)
            else:
                arrays |= _named(prefix, {part.name: value})
    write_arrays(path, arrays)


def read_attention(path: Path) -> AttentionMeasurements:
    """Read measurements that `write_attention` wrote.

    Raises:
        RunError: If the file is missing, damaged, or of another format.
    """
    cure = "Measure the attention again from the run's model."
    try:
        arrays = read_arrays(path)
        found = int(arrays["format"])
        if found == _FORMAT:
            return _assembled(arrays)
    except PipelineError as error:
        raise RunError(f"{error} {cure}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: does not hold measurements of attention ({error}). {cure}"
        ) from error
    raise RunError(f"{path}: is of format {found}, expected {_FORMAT}. {cure}")


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}/{name}": np.asarray(value) for name, value in values.items()}


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with `prefix/`, by the rest of their names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def _assembled(arrays: Mapping[str, NDArray[Any]]) -> AttentionMeasurements:
    deletions = _below(arrays, "deletions")
    streams = dict.fromkeys(name.split("/")[0] for name in deletions)
    return AttentionMeasurements(
        clip_ids=tuple(arrays["clip_ids"].tolist()),
        sample_ids=tuple(arrays["sample_ids"].tolist()),
        key_kinds={name: str(value) for name, value in _below(arrays, "key_kinds").items()},
        num_keys={name: int(value) for name, value in _below(arrays, "num_keys").items()},
        missing={name: str(value) for name, value in _below(arrays, "missing").items()},
        deletions={stream: _curves(_below(deletions, stream)) for stream in streams},
        **{name: _below(arrays, name) for name in _ARRAYS_BY_NAME},
    )


def _curves(arrays: Mapping[str, NDArray[Any]]) -> DeletionCurves:
    return DeletionCurves(
        hidden_by=str(arrays["hidden_by"]),
        num_clips=int(arrays["num_clips"]),
        hidden_share=arrays["hidden_share"],
        movement=_below(arrays, "movement"),
        error=_below(arrays, "error"),
    )
