"""Names of clips and groups: one spelling per name, and names that look alike."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

_INVISIBLE: Final = frozenset({"Cc", "Cf"})
"""Unicode categories without a glyph: control and format characters."""

_NUMBER: Final = re.compile(r"0*(\d+)(\.0*)?")


def normalize_identifier(text: str) -> str:
    """Return a name without the differences that nobody can see.

    Composes accents (NFC), replaces every kind of white space by a plain space, and drops
    outer white space and invisible characters. A name without such characters stays as it is.
    """
    if text.isascii() and text.isprintable():  # as nearly all are
        return text.strip()
    spaced = "".join(" " if character.isspace() else character for character in text)
    visible = "".join(each for each in spaced if unicodedata.category(each) not in _INVISIBLE)
    return unicodedata.normalize("NFC", visible).strip()


def look_alikes(identifiers: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Return the names that differ from one of the others only in case, folder or number spelling.

    Returns:
        Name -> the other name. Names that are among the others are left out.
    """
    known = set(others)
    by_key = {loose_key(other): other for other in known}
    return {
        identifier: by_key[key]
        for identifier in identifiers
        if identifier not in known and (key := loose_key(identifier)) in by_key
    }


def nearly_equal_identifiers(identifiers: Iterable[str]) -> list[tuple[str, ...]]:
    """Return sets of different names that are probably one name, each set sorted.

    They differ only in case, in repeated white space, in compatibility characters (full-width
    letters, ligatures), or in the spelling of a number (`1`, `1.0`, `01`).
    """
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for identifier in identifiers:
        by_key[_key(identifier)].add(identifier)
    return [tuple(sorted(names)) for names in by_key.values() if len(names) > 1]


def loose_key(identifier: str) -> str:
    """Return a key that is equal for names that differ in case, folder or number spelling."""
    return _key(identifier.replace("\\", "/").rpartition("/")[2])


def _key(identifier: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", identifier).casefold().split())
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text
