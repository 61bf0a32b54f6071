"""Personality traits: the five OCEAN traits, names, and the direction of the scores."""

import re
from collections.abc import Iterable, Sequence
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
    def direction(self) -> str:
        """Sentence that explains the reversed scores, or "" if the scores are not reversed."""
        return f"{self.name} is scored in reverse: {self.note}" if self.is_reversed else ""


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

    The names are parts of metric names and columns of tables. `mean` is the mean across traits.
    """
    for number, name in enumerate(names):
        if not re.fullmatch(r"[\w-]+", name):
            return f"{name!r} contains other characters than letters, digits, _ and -"
        if name == "mean":
            return "`mean` is the name of the mean across traits"
        if name in names[:number]:
            return f"{name} occurs twice"
    return ""


def traits_entry(traits: Iterable[TraitLabel]) -> dict[str, Any]:
    """Return the entry `traits` of `features.json` and `data.json`, or {} if `traits` is empty."""
    entries = [asdict(trait) for trait in traits]
    return {"traits": entries} if entries else {}


def directions(traits: Iterable[TraitLabel]) -> tuple[str, ...]:
    """Return one sentence per trait that is scored in reverse."""
    return tuple(trait.direction for trait in traits if trait.is_reversed)
