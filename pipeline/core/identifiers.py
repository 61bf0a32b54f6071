"""Names of clips and groups: one spelling per name, and the search for near names."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

_INVISIBLE: Final = frozenset({"Cc", "Cf"})
"""Unicode categories without a glyph: control and format characters."""

_NUMBER: Final = re.compile(r"0*(\d+)(\.0*)?")

_MAX_COMPARED: Final = 5000
"""Names that are compared letter by letter; more would take seconds."""


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


def nearest_identifier(identifier: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `identifier`; None if none is alike.

    A candidate that differs only in case, folder, or the spelling of a number comes first.
    """
    known = list(candidates)
    key = _loose_key(identifier)
    for candidate in known:
        if _loose_key(candidate) == key:
            return candidate
    return next(iter(difflib.get_close_matches(identifier, known[:_MAX_COMPARED], n=1)), None)


def look_alikes(identifiers: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Return each name that is not among the others, but only case, folder or number spelling off.

    Returns:
        Name -> the other name that it looks like.
    """
    known = set(others)
    by_key = {_loose_key(other): other for other in known}
    return {
        identifier: by_key[key]
        for identifier in identifiers
        if identifier not in known and (key := _loose_key(identifier)) in by_key
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


def nearest_names(missing: Sequence[str], found: Sequence[str]) -> str:
    """Return the sentence "Did you mean …?" for names that are missing; "" if none is near."""
    near = {name: nearest_identifier(name, found) for name in missing}
    pairs = [f"{candidate!r} for {name}" for name, candidate in near.items() if candidate]
    return f" Did you mean {', '.join(pairs)}?" if pairs else ""


def _key(identifier: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", identifier).casefold().split())
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def _loose_key(identifier: str) -> str:
    return _key(identifier.replace("\\", "/").rpartition("/")[2])
