"""`attention.npz`: attention measurements of a model, from which the figures are drawn.

The map `block_1/static_to_dynamic` contains the weights from static queries to dynamic keys. The
map `traits` contains the weights from the trait queries to the keys of all streams, concatenated.
The map `static/traits` contains only the weights to the static stream. Padding is NaN.

Shapes: N clips, M sample clips, H heads, Q queries, T keys of one stream, K traits, P points
of a curve, R random repetitions.
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
"""Name of the trait queries, and of the map with their weights."""

FRAMES: Final = "face frames"
WINDOWS: Final = "flow windows"
LEARNED_TOKENS: Final = "learned tokens"
"""Kinds of keys: steps of a stream, or tokens learned from one vector per clip."""

WHOLE: Final = "attention"
"""Key in `AttentionMeasurements.missing` if there are no measurements."""

_FORMAT: Final = 1
_ARRAYS_BY_NAME: Final = (
    "mean_maps", "entropy", "agreement", "trait_attention", "trait_rollout",
    "sample_maps", "sample_trait_attention", "sample_trait_rollout",
    "trait_share", "trait_attention_even", "trait_rollout_even",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class DeletionCurves:
    """Change of the predictions for an increasing number of hidden steps in one stream.

    The curve `<ranking>/top` hides the highest ranked steps first, `<ranking>/bottom` hides the
    lowest ranked steps first, and `random` hides steps in random order. Each curve has shape
    (R, P); R is 1 except for `random`.
    """

    hidden_by: str
    """Description of how a step is hidden."""
    num_clips: int
    """Number of clips per point."""
    hidden_share: FloatArray
    """Share of hidden steps among the real steps of a clip, from 0 to 1, shape (P,)."""
    movement: Mapping[str, FloatArray]
    """Mean absolute change of the scores over clips and traits, in score units."""
    error: Mapping[str, FloatArray] = field(default_factory=dict)
    """Mean absolute error of the scores, in score units; empty without labels."""

    @property
    def rankings(self) -> tuple[str, ...]:
        """Names of the rankings."""
        return tuple(name.removesuffix("/top") for name in self.movement if name.endswith("/top"))

    def area(self, curve: str) -> float:
        """Return the area under a movement curve, in score units.

        A ranking finds important steps if the area is larger for `top` than for `random`.

        Reference: Samek et al., 2017 (doi:10.1109/TNNLS.2016.2599820), area over the
            perturbation curve; here with the trapezoidal rule over shares of the steps.
        """
        return float(np.trapezoid(self.movement[curve].mean(axis=0), self.hidden_share))


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionMeasurements:
    """Attention weights, their entropy, and their faithfulness."""

    clip_ids: tuple[str, ...] = ()
    """Ids of the N measured clips."""
    key_kinds: Mapping[str, str] = field(default_factory=dict)
    """Stream -> kind of its keys. The order is that of the keys in the map `traits`."""
    num_keys: Mapping[str, int] = field(default_factory=dict)
    """Stream -> number of keys T."""
    mean_maps: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> mean weights, shape (H, Q, T). Clips in which the query or the key is padding are
    not averaged."""
    entropy: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> normalised entropy in [0, 1], shape (N, H); NaN for a single real key."""
    agreement: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> mean agreement of heads in [0, 1], shape (H, H)."""
    trait_attention: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> mean trait weights over clips and heads, shape (K, T)."""
    trait_rollout: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> mean attention rollout, shape (K, T); empty for a model without blocks."""
    trait_share: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> mean fraction of the attention of each trait query to this stream, shape (K,)."""
    trait_attention_even: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> `trait_attention` for uniform attention to real steps, shape (T,)."""
    trait_rollout_even: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> `trait_rollout` for uniform attention to real steps, shape (T,)."""
    sample_ids: tuple[str, ...] = ()
    """Ids of the M sample clips."""
    sample_maps: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> weights of the sample clips, shape (M, H, Q, T)."""
    sample_trait_attention: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> trait weights of the sample clips, shape (M, K, T)."""
    sample_trait_rollout: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> attention rollout of the sample clips, shape (M, K, T)."""
    deletions: Mapping[str, DeletionCurves] = field(default_factory=dict)
    """Stream -> curves for hidden steps of this stream."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Map, stream (for `deletions`) or `WHOLE` -> reason why there is no measurement."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams, in the order of their keys in the map `traits`."""
        return tuple(self.key_kinds)


def queries_and_keys(name: str, streams: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the queries of the map `name` (a stream or the traits), and the streams of its keys.

    `streams` contains all streams, in the order of their keys in the map `traits`.
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
    fix = "Measure the attention again from the run's model."
    try:
        arrays = read_arrays(path)
        found = int(arrays["format"])
        if found == _FORMAT:
            return _assembled(arrays)
    except PipelineError as error:
        raise RunError(f"{error} {fix}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: contains no attention measurements ({error}). {fix}") from error
    raise RunError(f"{path}: must have format {_FORMAT}, but has format {found}. {fix}")


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}/{name}": np.asarray(value) for name, value in values.items()}


def _below(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
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
