"""Compare the encoder of features with the encoder that a model was trained on.

Features of the same width can come from other encoders, crops or frame rates, and a model scores
them without an error. So `features.json` describes the encoder, and each run stores this entry.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.core.errors import FeatureSetError

UNKNOWN: Final = "unknown"
"""Encoder of features without a `features.json` that names it."""

VIDEOS: Final = "videos"
GIVEN_FACES: Final = "given faces"
GIVEN_FLOW: Final = "given flow"
"""Values of `of` in the description of a stream: the kind of recordings."""

VIDEOS_OPTION: Final = "--videos_dir"
CROPS_OPTIONS: Final = "--face_dir with --flow_dir"
"""Options of `predict` for each kind of recordings."""

_OPTIONS: Final[dict[tuple[Any, Any], str]] = {
    (VIDEOS, VIDEOS): VIDEOS_OPTION,
    (GIVEN_FACES, GIVEN_FLOW): CROPS_OPTIONS,
}


def encoder_in(metadata: Mapping[str, Any]) -> Any:
    """Return the encoder in the content of a `features.json`, or `UNKNOWN`."""
    return metadata.get("encoder") or UNKNOWN


def check_encoder(found: Any, expected: Any, features_dir: Path) -> None:
    """Check that features have the encoder that a model was trained on.

    If an encoder is unknown, nothing is checked; `encoder_caveat` then returns a warning.

    Raises:
        FeatureSetError: With the first setting that differs, and both values.
    """
    if UNKNOWN in (expected, found):
        return
    difference = first_difference(expected, found, "encoder")
    if difference is not None:
        raise FeatureSetError(
            f"{features_dir}: has other features than the model was trained on: "
            f"{difference.name} is {difference.found} here and {difference.expected} in "
            "the model. Extract the clips again with the settings of the model: `python -m "
            f"pipeline predict {recordings_options(expected) or VIDEOS_OPTION}` does so."
        )


def recordings_options(encoder: Any) -> str | None:
    """Return the options of `predict` for the recordings of an encoder; None if there are none."""
    streams = encoder if isinstance(encoder, Mapping) else {}
    static, dynamic = (streams.get(name) for name in ("static", "dynamic"))
    if not (isinstance(static, Mapping) and isinstance(dynamic, Mapping)):
        return None
    return _OPTIONS.get((static.get("of"), dynamic.get("of")))


def encoder_caveat(found: Any, expected: Any, features_dir: Path) -> str | None:
    """Return a warning if an encoder is unknown and `check_encoder` has no effect."""
    if found == UNKNOWN:
        return (
            f"{features_dir}: the encoder of the features is unknown (no features.json beside "
            "them names it). They may differ from the features that the model was trained on."
        )
    if expected == UNKNOWN:
        return (
            "The encoder of the features that the model was trained on is unknown. "
            f"The features of {features_dir} may differ from them."
        )
    return None


class Difference(NamedTuple):
    """Entry that differs between two descriptions: its dotted name and its shortened values."""

    name: str
    expected: str
    found: str


def first_difference(expected: Any, found: Any, name: str) -> Difference | None:
    """Return the first entry that differs between two JSON values of this name, or None."""
    if expected == found:
        return None
    if not (isinstance(expected, Mapping) and isinstance(found, Mapping)):
        return Difference(name, _short(expected), _short(found))
    # A missing entry differs from every JSON value, also from null.
    differences = (
        first_difference(expected.get(key, _MISSING), found.get(key, _MISSING), f"{name}.{key}")
        for key in dict.fromkeys([*expected, *found])
    )
    return next((difference for difference in differences if difference), None)


class _Missing:
    def __repr__(self) -> str:
        return "not given"


_MISSING: Final = _Missing()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
