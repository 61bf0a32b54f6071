"""Suggest an existing name or path in place of a misspelt name."""

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from pipeline.core.identifiers import loose_key

_MAX_COMPARED: Final = 5000
"""Maximum number of names to compare. More comparisons would take seconds."""


def nearest_name(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the entry of `names` that is most similar to `name`, or None.

    An entry has priority if it differs from `name` only in case, in the folder before the name, or
    in the spelling of a number (`1`, `01`). `cutoff` is the minimum similarity, in [0, 1].
    """
    known = list(names)
    key = loose_key(name)
    for candidate in known:
        if loose_key(candidate) == key:
            return candidate
    by_lower = {candidate.lower(): candidate for candidate in known[:_MAX_COMPARED]}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of an error message, ` Did you mean 'NAME'?`, or ""."""
    near = nearest_name(name, names)
    return f" Did you mean {near!r}?" if near else ""


def did_you_mean_path(path: Path) -> str:
    """Return ` Did you mean PATH?` for a missing path, or ""."""
    near = None if path.exists() else _nearest_path(path)
    return f" Did you mean {near}?" if near else ""


def _nearest_path(path: Path) -> Path | None:
    """Replace each misspelt part of a path by the most similar name in its directory."""
    if path.exists():
        return path
    if path == path.parent:
        return None
    parent = _nearest_path(path.parent)
    if parent is None:
        return None
    if (parent / path.name).exists():
        return parent / path.name
    try:
        with os.scandir(parent) as entries:
            near = nearest_name(path.name, [entry.name for entry in islice(entries, _MAX_COMPARED)])
    except OSError:
        return None
    return parent / near if near else None
