"""Comparison of a run with the undisturbed run."""

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

from tests.end_to_end.faults.campaign import Outcome
from tests.end_to_end.faults.mlflow_database import count_differences
from tests.end_to_end.faults.reference import Reference

_MEASURED = re.compile(
    r"time|second|_dir$|path|offset|digest|sha256|source|command|created|package_model"
)
"""Keys of values that differ between runs of the same experiment."""
_OF_ONE_RUN = re.compile(
    r"(^|/)(mlflow|environment|architecture)\.json$|manifest|events\.jsonl$|\.html$|\.png$"
)
"""Files with times, paths or ids. Only their names are compared."""
_LOCKS = re.compile(r"(^|/)\.[\w-]*\.?lock$|(^|/)\.lock$")


def compare_with_reference(
    home: Path,
    reference: Reference,
    outcome: Outcome,
    case: str,
    *,
    run_dir: Path | None = None,
    has_model: bool = True,
) -> None:
    """Count differences of a run and its MLflow run in `home` from the undisturbed run."""
    for difference in differences(run_dir or home / "run", reference.run_dir):
        outcome.add_lost(f"{case}: {difference}")
    database = home / "mlflow.db"
    count_differences(database, reference.database, outcome, case, has_model=has_model)


def differences(run_dir: Path, reference: Path) -> list[str]:
    """Return the missing, different and unexpected files of a run directory."""
    ours, theirs = file_names(run_dir), file_names(reference)
    found = [f"{name}: is missing" for name in sorted(theirs - ours)]
    found += [f"{name}: is unexpected" for name in sorted(ours - theirs)]
    for name in sorted(ours & theirs):
        if _OF_ONE_RUN.search(name):
            continue
        try:
            one, two = (_content(path / name) for path in (run_dir, reference))
        except Exception as error:  # each library raises other errors for a damaged file
            found.append(f"{name}: cannot be read ({error})")
            continue
        if not _equal(one, two):
            found.append(f"{name}: differs")
    return found


def file_names(directory: Path) -> set[str]:
    """Return the relative paths of the files in a directory, without lock files."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    names = {path.relative_to(directory).as_posix() for path in paths}
    return {name for name in names if not _LOCKS.search(name)}


def _content(path: Path) -> Any:
    return _READERS.get(path.suffix, Path.read_bytes)(path)


def _without_measured(value: Any) -> Any:
    """Remove measured values and paths from nested containers."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if not _MEASURED.search(str(key))}
        return {key: _without_measured(item) for key, item in kept.items()}
    return [_without_measured(item) for item in value] if isinstance(value, list) else value


def _arrays(path: Path) -> list[Any]:
    # The names of layers contain a counter of the process, so arrays are compared by position.
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
    ".json": lambda path: _without_measured(json.loads(path.read_text())),
    ".yaml": lambda path: _without_measured(yaml.safe_load(path.read_text())),
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
