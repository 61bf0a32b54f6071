"""The five apparent personality traits, in OCEAN order."""

from typing import Final

TRAITS: Final = (
    "openness",
    "conscientiousness",
    "extraversion",
    "agreeableness",
    "neuroticism",
)
"""Names of the traits; every array of scores has its columns in this order."""

NUM_TRAITS: Final = len(TRAITS)
