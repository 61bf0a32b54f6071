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
from numpy.lib.format import dtype_to_descr, write_array_header_1_0
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ExtractionError
from pipeline.core.files import atomic_path, disk_errors_named, read_json
from pipeline.data.shard import CLIPS_NAME, METADATA_NAME
from pipeline.data.writer import write_feature_set
from pipeline.extraction.clip_cache import read_unit
from pipeline.extraction.contact_sheet import stack_strips
from pipeline.extraction.sources import UNITS_NAME, source_group

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
        # cv2.imwrite says nothing of a full disk.
        temporary.write_bytes(cv2.imencode(".png", stack_strips(strips))[1].tobytes())
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
    rows: list[dict[str, Any]] = []
    with disk_errors_named(scratch / "features"), contextlib.ExitStack() as stack:
        # Written, not memory-mapped: a full disk is then an error instead of a SIGBUS.
        files = {
            name: stack.enter_context((scratch / f"{name}.npy").open("wb")) for name in _ARRAYS
        }
        for clip_id, path in units.items():
            clip = read_unit(path)
            for name, file in files.items():
                values = getattr(clip, name)
                values = values.astype(np.float32) if name == "seconds" else values
                if not rows:
                    write_array_header_1_0(file, _header(values, len(units)))
                file.write(np.ascontiguousarray(values).data)
            warned = {"warnings": "; ".join(clip.warnings)}
            group = source_group(clip_id)
            rows.append({"clip_id": clip_id, "group": group, **clip.quality, **warned})
    arrays = {
        name: np.load(scratch / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in _ARRAYS
    }
    return arrays, pd.DataFrame(rows)


def _header(values: NDArray[Any], num_clips: int) -> dict[str, Any]:
    return {
        "descr": dtype_to_descr(values.dtype),
        "fortran_order": False,
        "shape": (num_clips, *values.shape),
    }


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
