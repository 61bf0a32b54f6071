"""Compares a run directory with that of the run that was not disturbed."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

_MEASURED = re.compile(
    r"time|second|_dir$|path|offset|digest|sha256|source|command|created|package_model"
)
"""Keys of values that differ between two runs of the same experiment."""
_OF_ONE_RUN = re.compile(
    r"(^|/)(mlflow|environment|architecture)\.json$|manifest|events\.jsonl$|\.html$|\.png$"
)
"""Files that are compared by name only: they hold times, paths and ids."""
_LOCKS = re.compile(r"(^|/)\.[\w-]*\.?lock$|(^|/)\.lock$")


def differences(run_dir: Path, reference: Path) -> list[str]:
    """Return what is missing in a run directory, differs, or should not be there."""
    ours, theirs = file_names(run_dir), file_names(reference)
    found = [f"{name}: is missing" for name in sorted(theirs - ours)]
    found += [f"{name}: was left behind" for name in sorted(ours - theirs)]
    for name in sorted(ours & theirs):
        if _OF_ONE_RUN.search(name):
            continue
        try:
            one, two = (_content(path / name) for path in (run_dir, reference))
        except Exception as error:  # each library has errors of its own for a damaged file
            found.append(f"{name}: cannot be read ({error})")
            continue
        if not _equal(one, two):
            found.append(f"{name}: differs")
    return found


def file_names(directory: Path) -> set[str]:
    """Return the files of a directory by their relative paths, locks left out."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix() for path in paths}
    return {name for name in names if not _LOCKS.search(name)}


def _content(path: Path) -> Any:
    return _READERS.get(path.suffix, Path.read_bytes)(path)


def _json(path: Path) -> Any:
    return _lasting(json.loads(path.read_text()))


def _yaml(path: Path) -> Any:
    return _lasting(yaml.safe_load(path.read_text()))


def _lasting(value: Any) -> Any:
    """Return a value without what is measured or belongs to one directory."""
    if isinstance(value, dict):
        return {
            key: _lasting(item) for key, item in value.items() if not _MEASURED.search(str(key))
        }
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def _arrays(path: Path) -> list[Any]:
    # The names of layers count the models of a process, so the order decides.
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in arrays.files]


def _weights(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as stream:
        stream.visititems(keep)
    return found


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": _json,
    ".yaml": _yaml,
    ".npz": _arrays,
    ".keras": _weights,
}


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_equal(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_equal, one, two))
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return np.array_equal(one, two, equal_nan=np.asarray(one).dtype.kind == "f")
    return bool(one == two)
