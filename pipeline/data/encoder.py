"""What made the features: the description in `features.json` that travels with the model.

The same width says nothing: features of another encoder, another crop or another sampling of
frames are other numbers in the same places, and a model scores them with confidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.errors import FeatureSetError

if TYPE_CHECKING:  # the shards of a feature set are compared by what is here
    from pipeline.data.feature_set import FeatureSet

UNKNOWN: Final = "unknown"
"""Stands for the encoder of features that come without a `features.json` that names it."""

VIDEOS: Final = "videos"
GIVEN_FACES: Final = "given faces"
GIVEN_FLOW: Final = "given flow"
"""What an encoder says that the features of a stream are `of`."""

VIDEOS_OPTION: Final = "--videos_dir"
CROPS_OPTIONS: Final = "--face_dir with --flow_dir"
"""The two ways to give recordings to `predict`."""

_OPTIONS: Final[dict[tuple[Any, Any], str]] = {
    (VIDEOS, VIDEOS): VIDEOS_OPTION,
    (GIVEN_FACES, GIVEN_FLOW): CROPS_OPTIONS,
}


def encoder_of(features: "FeatureSet") -> Any:
    """Return what made the features, in JSON values; `UNKNOWN` where nothing says it."""
    return encoder_in(features.metadata)


def encoder_in(metadata: Mapping[str, Any]) -> Any:
    """Return the encoder that a `features.json` names; `UNKNOWN` where it names none."""
    return metadata.get("encoder") or UNKNOWN


def check_encoder(features: "FeatureSet", expected: Any) -> None:
    """Refuse features that were made in another way than those a model was trained on.

    Where either of them does not say what made it, nothing can be checked: `encoder_caveat` says
    so in words.

    Args:
        features: The features to score.
        expected: Encoder of the features that the model was trained on.

    Raises:
        FeatureSetError: Naming the first setting that differs, with both values.
    """
    found = encoder_of(features)
    if UNKNOWN in (expected, found):
        return
    difference = first_difference(expected, found, "encoder")
    if difference is not None:
        raise FeatureSetError(
            f"{features.sources[0].parent}: was made in another way than the features of the "
            f"model: {difference.name} is {difference.found} here and {difference.expected} in "
            "the model. Extract the clips again with the settings of the model: `python -m "
            f"pipeline predict {recordings_options(expected) or VIDEOS_OPTION}` does so."
        )


def recordings_options(encoder: Any) -> str | None:
    """Return the options of `predict` whose recordings an encoder describes.

    Returns:
        None where it does not say of what it makes features, or where no one way of giving
        clips has both.
    """
    streams = encoder if isinstance(encoder, Mapping) else {}
    static, dynamic = (streams.get(name) for name in ("static", "dynamic"))
    if not (isinstance(static, Mapping) and isinstance(dynamic, Mapping)):
        return None
    return _OPTIONS.get((static.get("of"), dynamic.get("of")))


def encoder_caveat(features: "FeatureSet", expected: Any) -> str | None:
    """Return why nobody can tell that features suit a model; None where both name an encoder.

    Args:
        features: The features to score.
        expected: Encoder of the features that the model was trained on.
    """
    place = features.sources[0].parent
    if encoder_of(features) == UNKNOWN:
        return (
            f"{place}: does not say what made the features (no features.json beside them names "
            "their encoder), so nothing shows that they are of the encoder that the model was "
            "trained on."
        )
    if expected == UNKNOWN:
        return (
            "The model does not say what made the features that it was trained on (they named no "
            f"encoder), so nothing shows that those of {place} were made alike."
        )
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """An entry in which two descriptions differ."""

    name: str
    """Its name, entries of entries after a dot."""
    expected: str
    """What it should be, in few words."""
    found: str
    """What it is."""


def first_difference(expected: Any, found: Any, name: str) -> Difference | None:
    """Return the first entry in which two JSON values differ; None where none does.

    Args:
        expected: What it should be.
        found: What it is.
        name: What the values are called; entries below are named after a dot.
    """
    if expected == found:
        return None
    if not (isinstance(expected, Mapping) and isinstance(found, Mapping)):
        return Difference(name=name, expected=_short(expected), found=_short(found))
    # Entries that one of them lacks compare as "not there", which no JSON value equals.
    differences = (
        first_difference(expected.get(key, _NOT_THERE), found.get(key, _NOT_THERE), f"{name}.{key}")
        for key in dict.fromkeys([*expected, *found])
    )
    return next((difference for difference in differences if difference), None)


class _NotThere:
    """Stands for an entry that a description does not have."""

    def __repr__(self) -> str:
        return "not given"


_NOT_THERE: Final = _NotThere()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
