"""Names of clips and groups: normalize their spelling, and find nearly equal names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

_INVISIBLE: Final = frozenset({"Cc", "Cf"})
"""Unicode categories of invisible characters: control and format characters."""

_NUMBER: Final = re.compile(r"0*(\d+)(\.0*)?")


def normalize_identifier(text: str) -> str:
    """Remove invisible characters, and white space at both ends. Normalize accents and spaces.

    A letter and its accent become one character (NFC). Other white space becomes a plain space.
    """
    if text.isascii() and text.isprintable():  # fast path for nearly all names
        return text.strip()
    spaced = "".join(" " if char.isspace() else char for char in text)
    visible = "".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE)
    return unicodedata.normalize("NFC", visible).strip()


def look_alikes(identifiers: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Return, for each name that is missing in `others`, a nearly equal name in `others`.

    Nearly equal names differ only in case, folder or number spelling. The result does not
    contain names that have no nearly equal name.
    """
    known = set(others)
    by_key = {loose_key(other): other for other in known}
    return {
        identifier: by_key[key]
        for identifier in identifiers
        if identifier not in known and (key := loose_key(identifier)) in by_key
    }


def nearly_equal_identifiers(identifiers: Iterable[str]) -> list[tuple[str, ...]]:
    """Return tuples of different names that probably refer to the same clip or group.

    The names in a tuple are sorted. They differ only in case, repeated white space, compatibility
    characters (full-width letters, ligatures) or the spelling of a number (`1`, `1.0`, `01`).
    """
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for identifier in identifiers:
        by_key[_key(identifier)].add(identifier)
    return [tuple(sorted(names)) for names in by_key.values() if len(names) > 1]


def loose_key(identifier: str) -> str:
    """Return a key. Names that differ only in case, folder or number spelling have the same key."""
    return _key(identifier.replace("\\", "/").rpartition("/")[2])


def _key(identifier: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", identifier).casefold().split())
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text
