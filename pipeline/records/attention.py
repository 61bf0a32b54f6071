"""`attention.npz`: attention measurements of a model. The figures are drawn from this file.

A map is an array of attention weights. The map `block_1/static_to_dynamic` contains the weights
from static queries to dynamic keys. The map `block_1/static_to_dynamic+audio` contains the weights
from static queries to the concatenated keys of two streams. The map `traits` contains the weights
from the trait queries to the concatenated keys of all streams. The map `static/traits` contains the
part of these weights that belongs to the keys of the static stream. Padding is NaN.

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
from pipeline.core.stream_names import DYNAMIC, STATIC

TRAIT_QUERIES: Final = "traits"
"""Name of the trait queries. The map with their weights has the same name."""

LEARNED_TOKENS: Final = "learned tokens"
"""Kind of the keys of a stream with one vector per clip. For other streams, see `step_kind`."""

_STEP_KINDS: Final = {STATIC: "face frames", DYNAMIC: "flow windows"}

WHOLE: Final = "attention"
"""Key in `AttentionMeasurements.missing` if the file contains no measurements."""

_FORMAT: Final = 1
_ARRAYS_BY_NAME: Final = (
    "mean_maps", "entropy", "agreement", "trait_attention", "trait_rollout",
    "sample_maps", "sample_trait_attention", "sample_trait_rollout",
    "trait_share", "trait_attention_even", "trait_rollout_even", "seconds", "sample_seconds",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class DeletionCurves:
    """Change of the predictions when more and more time steps of one stream are hidden.

    For the curve `<ranking>/top`, the highest ranked time steps are hidden first. For the curve
    `<ranking>/bottom`, the lowest ranked time steps are hidden first. For the curve `random`, the
    order is random. Each curve has shape (R, P). R is 1, except for `random`.
    """

    hidden_by: str
    """Description of the method that hides a time step."""
    num_clips: int
    """Number of clips for each point of a curve."""
    hidden_share: FloatArray
    """Hidden fraction of the valid time steps of a clip, from 0 to 1, shape (P,)."""
    movement: Mapping[str, FloatArray]
    """Curve -> mean absolute change of the predicted scores, in score units, shape (R, P)."""
    error: Mapping[str, FloatArray] = field(default_factory=dict)
    """Curve -> MAE in score units, shape (R, P); empty if there are no annotated scores."""

    @property
    def rankings(self) -> tuple[str, ...]:
        """Names of the rankings."""
        return tuple(name.removesuffix("/top") for name in self.movement if name.endswith("/top"))

    def area(self, curve: str) -> float:
        """Return the area under a curve in `movement`, in score units.

        A ranking finds important steps if the area is larger for `top` than for `random`.

        Reference: Samek et al., 2017 (doi:10.1109/TNNLS.2016.2599820), area over the
            perturbation curve; here with the trapezoidal rule over `hidden_share`.
        """
        return float(np.trapezoid(self.movement[curve].mean(axis=0), self.hidden_share))


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionMeasurements:
    """Attention weights of a model, with measurements of their entropy and faithfulness."""

    clip_ids: tuple[str, ...] = ()
    """Ids of the N measured clips."""
    key_kinds: Mapping[str, str] = field(default_factory=dict)
    """Stream -> kind of its keys. The streams have the same order as in the map `traits`."""
    num_keys: Mapping[str, int] = field(default_factory=dict)
    """Stream -> number of keys T."""
    mean_maps: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> mean weights over clips, shape (H, Q, T). Each mean excludes the clips in which the
    query or the key is padding."""
    entropy: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> normalised entropy in [0, 1], shape (N, H); NaN if only one key is valid."""
    agreement: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> mean agreement between each pair of heads, in [0, 1], shape (H, H)."""
    trait_attention: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> weights of the trait queries, mean over clips and heads, shape (K, T)."""
    trait_rollout: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> attention rollout, mean over clips, shape (K, T); empty if there are no blocks."""
    trait_share: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> mean sum of the weights from each trait query to this stream, shape (K,)."""
    trait_attention_even: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> its mean `trait_attention`, divided equally among the valid steps, shape (T,)."""
    trait_rollout_even: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> its mean `trait_rollout`, divided equally among the valid steps, shape (T,)."""
    sample_ids: tuple[str, ...] = ()
    """Ids of the M sample clips."""
    sample_maps: Mapping[str, FloatArray] = field(default_factory=dict)
    """Map -> weights of the sample clips, shape (M, H, Q, T)."""
    sample_trait_attention: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> weights of the trait queries for the sample clips, shape (M, K, T)."""
    sample_trait_rollout: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> attention rollout of the sample clips, shape (M, K, T)."""
    seconds: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> time of each step in seconds, median over the clips, shape (T,); NaN if unknown.
    Streams without times are not included."""
    sample_seconds: Mapping[str, FloatArray] = field(default_factory=dict)
    """Stream -> time of each step of the sample clips in seconds, shape (M, T)."""
    split: str = ""
    """Subset of the measured clips: `validation` or `training`; "" if unknown."""
    deletions: Mapping[str, DeletionCurves] = field(default_factory=dict)
    """Stream -> deletion curves of this stream."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Map, stream (for `deletions`) or `WHOLE` -> reason why the measurement is missing."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams, in the order of their keys in the map `traits`."""
        return tuple(self.key_kinds)


def step_kind(stream: str) -> str:
    """Return the kind of the keys of a stream with time steps, e.g. `face frames`."""
    return _STEP_KINDS.get(stream, f"{stream} steps")


def queries_and_keys(name: str, streams: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return two values for the map `name`: stream of its queries or `traits`, streams of its keys.

    `streams` contains all streams, in the order of their keys in the map `traits`.
    """
    prefix, _, direction = name.rpartition("/")
    if direction == TRAIT_QUERIES:
        return TRAIT_QUERIES, (prefix,) if prefix else tuple(streams)
    query, keys = direction.split("_to_")
    return query, tuple(keys.split("+"))


def write_attention(path: Path, measurements: AttentionMeasurements) -> None:
    """Write measurements atomically to an `.npz` file that contains plain arrays."""
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(_FORMAT),
        "clip_ids": np.array(measurements.clip_ids, dtype=np.str_),
        "sample_ids": np.array(measurements.sample_ids, dtype=np.str_),
        "split": np.array(measurements.split),
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
        RunError: If the file is missing or damaged, or has another format number.
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
        split=str(arrays.get("split", "")),
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
