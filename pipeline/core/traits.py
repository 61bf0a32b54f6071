"""Personality traits: the five OCEAN traits, names, and the meaning of the scores."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

TRAITS: Final = (
    "openness",
    "conscientiousness",
    "extraversion",
    "agreeableness",
    "neuroticism",
)
"""Names of the traits, in the column order of all score arrays."""

NUM_TRAITS: Final = len(TRAITS)

_COLUMNS: Final = ("clip_id", "group")
"""Columns of the tables of scores that are not traits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TraitLabel:
    """Meaning of the scores of one trait in a data set; an entry of `traits` in `features.json`."""

    name: str
    """Name of the trait, e.g. one of `TRAITS`."""
    is_reversed: bool = False
    """True if a high score means a low level of the trait."""
    note: str = ""
    """Meaning of a high score."""
    label_range: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest possible score before scaling to [0, 1]."""

    @property
    def meaning(self) -> str:
        """Meaning of a high score as a sentence, or "" if it is unknown and not reversed."""
        default = f"A high score means low {self.name}." if self.is_reversed else ""
        return self.note or default

    @property
    def direction(self) -> str:
        """Sentence that explains the reversed scores, or "" if the scores are not reversed."""
        if not self.is_reversed:
            return ""
        return f"{self.name.capitalize()} is scored in reverse: {self.meaning}"

    @property
    def width(self) -> float:
        """Length of the original range, in original units."""
        low, high = self.label_range
        return high - low


FIRST_IMPRESSIONS: Final = (
    *(TraitLabel(name=name) for name in TRAITS[:-1]),
    TraitLabel(
        name="neuroticism",
        is_reversed=True,
        note="First Impressions scores emotional stability under this name, so a high score "
        "means a calm, emotionally stable person.",
    ),
)
"""Trait labels of ChaLearn First Impressions.

In the official annotations, `neuroticism` has positive correlations with the other traits: +0.80
with extraversion, +0.77 with openness, +0.73 with agreeableness, +0.72 with conscientiousness.
"""


def trait_names_fault(names: Sequence[str]) -> str:
    """Return the reason why these names cannot be the names of traits, or "".

    The names are parts of metric names, file names, and columns of tables. `mean` is the mean
    across traits.
    """
    for number, name in enumerate(names):
        if not re.fullmatch(r"[\w-]+", name):
            return f"{name!r} contains other characters than letters, digits, _ and -"
        if name == "mean":
            return "`mean` is the name of the mean across traits"
        if name.lower() in (other.lower() for other in names[:number]):
            return f"{name} occurs twice (upper and lower case count as equal)"
        if name in _COLUMNS or name.startswith("true_"):
            return f"{name} is the name of another column of the tables of scores"
        trait = name.removesuffix("_low").removesuffix("_high")
        if trait != name and trait in names:
            return f"{name} is the name of a column of interval ends"
    return ""


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the shortest beginnings of the names that differ, e.g. `O`, or `Ho` and `Hu`."""
    lower = [name.lower() for name in names]

    def shorten(number: int) -> str:
        others = lower[:number] + lower[number + 1 :]
        lengths = range(1, len(names[number]))
        starts = (lower[number][:length] for length in lengths)
        found = (start for start in starts if not any(o.startswith(start) for o in others))
        start = next(found, lower[number])
        return start[0].upper() + start[1:]

    return tuple(map(shorten, range(len(names))))


def traits_entry(traits: Iterable[TraitLabel]) -> dict[str, Any]:
    """Return the entry `traits` of `features.json` and `data.json`, or {} if `traits` is empty."""
    entries = [asdict(trait) for trait in traits]
    return {"traits": entries} if entries else {}


def describe_scores(traits: Sequence[TraitLabel]) -> tuple[str, ...]:
    """Return one sentence per trait that is scored in reverse, and one on rescaled annotations."""
    sentences = [trait.direction for trait in traits if trait.is_reversed]
    if was_rescaled(traits):
        ranges = describe_ranges(label_ranges(traits))
        sentences.append(f"Annotations on the scale {ranges} were rescaled to [0, 1].")
    return tuple(sentences)


def label_ranges(traits: Iterable[TraitLabel]) -> dict[str, tuple[float, float]]:
    """Return a dictionary: trait name -> range of the annotations before scaling to [0, 1]."""
    return {trait.name: trait.label_range for trait in traits}


def was_rescaled(traits: Iterable[TraitLabel]) -> bool:
    """Return True if the annotations of at least one trait had another range than [0, 1]."""
    return any(trait.label_range != (0.0, 1.0) for trait in traits)


def describe_ranges(ranges: Mapping[str, tuple[float, float]]) -> str:
    """Describe ranges, e.g. `1 to 7`, or `openness 1 to 5, neuroticism 1 to 7` if they differ."""
    texts = {name: f"{low:g} to {high:g}" for name, (low, high) in ranges.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{name} {text}" for name, text in texts.items())
