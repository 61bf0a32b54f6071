"""Names of clips and groups: normalize their spelling and find names that are nearly equal."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

_INVISIBLE: Final = frozenset({"Cc", "Cf"})
"""Unicode categories without a glyph: control and format characters."""

_NUMBER: Final = re.compile(r"0*(\d+)(\.0*)?")


def normalize_identifier(text: str) -> str:
    """Remove invisible characters and outer white space, and normalize accents and spaces.

    Accents are composed (NFC). Each white-space character becomes a plain space.
    """
    if text.isascii() and text.isprintable():  # fast path for nearly all names
        return text.strip()
    spaced = "".join(" " if char.isspace() else char for char in text)
    visible = "".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE)
    return unicodedata.normalize("NFC", visible).strip()


def look_alikes(identifiers: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Map names that are missing in `others` to nearly equal names in `others`.

    Nearly equal names differ only in case, folder or number spelling. The result does not
    contain names without a match.
    """
    known = set(others)
    by_key = {loose_key(other): other for other in known}
    return {
        identifier: by_key[key]
        for identifier in identifiers
        if identifier not in known and (key := loose_key(identifier)) in by_key
    }


def nearly_equal_identifiers(identifiers: Iterable[str]) -> list[tuple[str, ...]]:
    """Return sorted tuples of different names that probably name the same clip or group.

    These names differ only in case, repeated white space, compatibility characters (full-width
    letters, ligatures) or the spelling of a number (`1`, `1.0`, `01`).
    """
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for identifier in identifiers:
        by_key[_key(identifier)].add(identifier)
    return [tuple(sorted(names)) for names in by_key.values() if len(names) > 1]


def loose_key(identifier: str) -> str:
    """Return a key that ignores case, folder and the spelling of a number (`1`, `01`)."""
    return _key(identifier.replace("\\", "/").rpartition("/")[2])


def _key(identifier: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", identifier).casefold().split())
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text
