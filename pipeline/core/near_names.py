"""Suggest an existing name, setting or path in place of a misspelt name."""

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from pipeline.core.identifiers import loose_key

_MAX_COMPARED: Final = 5000
"""Maximum number of names to compare. More comparisons would take seconds."""

_ALIASES: Final = {
    "batch": "batch_size",
    "cv": "num_folds",
    "depth": "num_blocks",
    "dim": "fusion_dim",
    "dropout": "dropout_rate",
    "early_stopping": "early_stopping_patience",
    "epochs": "num_epochs",
    "experiment_name": "experiment",
    "folds": "num_folds",
    "grad_clip": "gradient_clip_norm",
    "heads": "num_heads",
    "hidden_dim": "fusion_dim",
    "layers": "num_blocks",
    "lr": "learning_rate",
    "max_epochs": "num_epochs",
    "patience": "early_stopping_patience",
    "random_state": "seed",
    "test_split": "test_fraction",
    "tokens": "num_tokens",
    "val_split": "validation_fraction",
    "validation_split": "validation_fraction",
    "warmup": "warmup_epochs",
    "wd": "weight_decay",
}
"""Name of a setting in other programs -> last part of its name in this program."""


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


def is_setting(name: str, settings: Iterable[str]) -> bool:
    """Return True if a setting has the last part `name`, or if `name` is an alias of a setting."""
    key = _ALIASES.get(_key(name), _key(name))
    return any(_last_part(setting) == key for setting in settings)


def nearest_setting(name: str, settings: Iterable[str]) -> str | None:
    """Return the dotted name in `settings` that is most similar to `name`, or None.

    Only the last parts of the names are compared, for instance `lr` with `training.learning_rate`.
    If several settings fit, a setting of the section before `name` has priority.
    """
    by_section = sorted(
        settings, key=lambda setting: setting.rpartition(".")[0] != name.rpartition(".")[0]
    )
    by_last_part = {_last_part(setting): setting for setting in reversed(by_section)}
    key = _ALIASES.get(_key(_last_part(name)), _key(_last_part(name)))
    if key in by_last_part:
        return by_last_part[key]
    near = nearest_name(key, [_last_part(setting) for setting in by_section])
    return by_last_part[near] if near else None


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _key(name: str) -> str:
    return name.lower().replace("-", "_")


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
