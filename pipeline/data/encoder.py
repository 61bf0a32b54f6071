"""Compare the encoder of a feature set with the encoder of the training features.

Features from different encoders, crops or frame rates can have the same width. For such
features, a model would give wrong predictions and no error. Therefore, `features.json` describes
the encoder. Each run directory contains this description of the training features.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.core.errors import FeatureSetError

UNKNOWN: Final = "unknown"
"""Value of the encoder if no `features.json` describes it."""

VIDEOS: Final = "videos"
GIVEN_FACES: Final = "given faces"
GIVEN_FLOW: Final = "given flow"
"""Values of the entry `of` in the description of a stream: the input of its encoder."""

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
    """Check that features have the same encoder as the training features of a model.

    If an encoder is unknown, nothing is checked. In this case, `encoder_caveat` returns a warning.

    Raises:
        FeatureSetError: If a setting of the two encoders differs. The message contains both values.
    """
    if UNKNOWN in (expected, found):
        return
    difference = first_difference(expected, found, "encoder")
    if difference is not None:
        options = recordings_options(expected)
        fix = (
            f"Extract the features again: call `python -m pipeline predict {options}`."
            if options
            else "Make the features again in the same way, for example with the same --columns, "
            "--format and --resample of `prepare`."
        )
        raise FeatureSetError(
            f"{features_dir}: has other features than the training set of the model: "
            f"{difference.name} is {difference.found} here and {difference.expected} in "
            f"the model. {fix}"
        )


def recordings_options(encoder: Any) -> str | None:
    """Return the options of `predict` for the input of an encoder; None if it is unknown."""
    streams = encoder if isinstance(encoder, Mapping) else {}
    static, dynamic = (streams.get(name) for name in ("static", "dynamic"))
    if not (isinstance(static, Mapping) and isinstance(dynamic, Mapping)):
        return None
    return _OPTIONS.get((static.get("of"), dynamic.get("of")))


def encoder_caveat(found: Any, expected: Any, features_dir: Path) -> str | None:
    """Return a warning if one of the two encoders is unknown, and None otherwise."""
    if found == UNKNOWN:
        return (
            f"{features_dir}: the encoder of the features is unknown, because no features.json "
            "describes it. The features may differ from those that the model was trained on."
        )
    if expected == UNKNOWN:
        return (
            "The encoder of the features that the model was trained on is unknown. "
            f"The features of {features_dir} may be different."
        )
    return None


class Difference(NamedTuple):
    """First difference between two descriptions: dotted name and both values, as text."""

    name: str
    expected: str
    found: str


def first_difference(expected: Any, found: Any, name: str) -> Difference | None:
    """Return the first difference between two JSON values with the dotted name `name`, or None."""
    if expected == found:
        return None
    if not (isinstance(expected, Mapping) and isinstance(found, Mapping)):
        return Difference(name, _short(expected), _short(found))
    # A missing entry is different from every JSON value, including null.
    differences = (
        first_difference(expected.get(key, _MISSING), found.get(key, _MISSING), f"{name}.{key}")
        for key in dict.fromkeys([*expected, *found])
    )
    return next((difference for difference in differences if difference), None)


_MISSING: Final = object()


def _short(value: Any) -> str:
    text = "not given" if value is _MISSING else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
