"""From the files of the clips to a feature set.

Shape letters: N clips, T steps, D width.
"""

import contextlib
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ExtractionError
from pipeline.core.files import atomic_path, read_json
from pipeline.data.shard import CLIPS_NAME, METADATA_NAME
from pipeline.data.writer import write_feature_set
from pipeline.extraction.contact_sheet import stack_strips
from pipeline.extraction.sources import source_group
from pipeline.extraction.unit import read_unit

UNITS_NAME: Final = ".units"
"""Where the files of the clips lie; a directory that has it is an extraction's own."""
SHEET_NAME: Final = "contact_sheet.png"
LOCK_NAME: Final = ".lock"

_ARRAYS: Final = ("static", "static_mask", "dynamic", "dynamic_mask", "seconds")


def gather(
    features_dir: Path,
    units: Mapping[str, Path],
    *,
    labels: FloatArray | None,
    metadata: Mapping[str, Any],
) -> None:
    """Write the feature set of clips whose files are there, in place of an earlier one.

    Args:
        features_dir: Where to; an earlier set in it is replaced.
        units: Clip id -> its file, in the order of the rows.
        labels: Scores of the same clips, shape (N, 5), or None.
        metadata: Goes into `features.json`.
    """
    features_dir.mkdir(parents=True, exist_ok=True)
    for unfinished in features_dir.glob(".gather.*"):  # by a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)
    scratch = features_dir / f".gather.{secrets.token_hex(4)}"
    scratch.mkdir()
    try:
        arrays, table = _collect(scratch, units)
        fresh = scratch / "set"
        write_feature_set(fresh, **arrays, clips=table, labels=labels, metadata=metadata)
        _replace(features_dir, fresh)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_contact_sheet(features_dir: Path, units: Sequence[Path]) -> Path | None:
    """Draw the strips of the clips that have one; return where, or None without any."""
    strips = [strip for path in units if (strip := read_unit(path).strip) is not None]
    if not strips:
        return None
    destination = features_dir / SHEET_NAME
    with atomic_path(destination) as temporary:
        cv2.imwrite(str(temporary), stack_strips(strips))
    return destination


def earlier_metadata(features_dir: Path) -> dict[str, Any] | None:
    """Return what the `features.json` of an earlier set says, or None without one.

    Raises:
        ExtractionError: If the directory holds something else than an extraction.
    """
    if not features_dir.exists():
        return None
    if not features_dir.is_dir():
        raise ExtractionError(f"{features_dir}: is a file, expected a directory for the features.")
    path = features_dir / METADATA_NAME
    metadata = read_json(path) if path.exists() else None
    if (features_dir / UNITS_NAME).is_dir():
        written = set() if metadata is None else {*metadata.get("files", ())}
        foreign = (
            []
            if metadata is None
            else [path for path in _set_files(features_dir) if path.name not in written]
        )
    else:
        foreign = [path for path in features_dir.iterdir() if path.name != LOCK_NAME]
    if foreign:
        raise ExtractionError(
            f"{features_dir}: holds {min(path.name for path in foreign)}, which no extraction has "
            f"written, and nothing is overwritten. Give another --features_dir, or move it away."
        )
    return dict(metadata) if metadata is not None else None


def is_whole(features_dir: Path, metadata: Mapping[str, Any]) -> bool:
    """Return whether the files that a set's `features.json` lists are there, as it lists them."""
    try:
        for name, described in metadata["files"].items():
            array = np.load(features_dir / name, mmap_mode="r", allow_pickle=False)
            if [list(array.shape), str(array.dtype)] != [described["shape"], described["dtype"]]:
                return False
        return (features_dir / CLIPS_NAME).is_file()
    except (OSError, ValueError, KeyError):
        return False


def _collect(
    scratch: Path, units: Mapping[str, Path]
) -> tuple[dict[str, NDArray[Any]], pd.DataFrame]:
    """Copy the clips into arrays on disk: memory does not grow with their number."""
    arrays: dict[str, NDArray[Any]] = {}
    rows: list[dict[str, Any]] = []
    for row, (clip_id, path) in enumerate(units.items()):
        clip = read_unit(path)
        for name in _ARRAYS:
            values = getattr(clip, name)
            values = values.astype(np.float32) if name == "seconds" else values
            if name not in arrays:
                shape = (len(units), *values.shape)
                arrays[name] = open_memmap(
                    scratch / f"{name}.npy", mode="w+", dtype=values.dtype, shape=shape
                )
            arrays[name][row] = values
        warned = {"warnings": "; ".join(clip.warnings)}
        rows.append({"clip_id": clip_id, "group": source_group(clip_id), **clip.quality, **warned})
    return arrays, pd.DataFrame(rows)


def _replace(features_dir: Path, fresh: Path) -> None:
    """Move the files of a set into place; `features.json` goes first and comes last.

    A set without it is known to be unfinished, and made again by the next run.
    """
    names = sorted(path.name for path in fresh.iterdir())
    (features_dir / METADATA_NAME).unlink(missing_ok=True)
    for stale in _set_files(features_dir):
        stale.unlink()
    for name in sorted(names, key=lambda name: name == METADATA_NAME):
        (fresh / name).replace(features_dir / name)


def _set_files(features_dir: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        for stream in (*_ARRAYS, "labels"):
            path = features_dir / f"{stream}.npy"
            if path.exists():
                yield path
