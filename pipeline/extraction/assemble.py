"""Build the feature set from the cache files of the clips.

Shape letters: N clips.
"""

import contextlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
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
from pipeline.data.writer import StreamValues, write_feature_set
from pipeline.extraction.clip_cache import read_cached_clip
from pipeline.extraction.contact_sheet import stack_strips
from pipeline.extraction.edited_clips import save_copy, with_edits
from pipeline.extraction.sources import CACHE_NAME

SHEET_NAME: Final = "contact_sheet.png"
LOCK_NAME: Final = ".lock"

_ARRAYS: Final = ("static", "static_mask", "dynamic", "dynamic_mask", "seconds")


def assemble_feature_set(
    features_dir: Path,
    paths: Mapping[str, Path],
    *,
    columns: pd.DataFrame,
    labels: FloatArray | None,
    metadata: Mapping[str, Any],
) -> None:
    """Write the features of cached clips as a feature set, and replace an earlier set.

    Args:
        features_dir: Output directory.
        paths: Clip id -> cache file. The rows of the feature set have the order of this mapping.
        columns: `group` and other columns of the clip table, shape (N, ...), in the same order.
        labels: Trait scores, shape (N, K), or None.
        metadata: Additional entries of `features.json`.
    """
    features_dir.mkdir(parents=True, exist_ok=True)
    for unfinished in features_dir.glob(".gather.*"):  # left by a killed process
        shutil.rmtree(unfinished, ignore_errors=True)
    scratch = features_dir / f".gather.{secrets.token_hex(4)}"
    scratch.mkdir()
    try:
        arrays, quality = _collect(scratch, paths)
        table = pd.concat([columns.reset_index(drop=True), quality], axis=1)
        table.insert(0, "clip_id", list(paths))
        table = table.astype(str)
        written, table = table, with_edits(features_dir, table)
        new_set = scratch / "set"
        streams = {
            name: StreamValues(
                values=arrays[name], mask=arrays[f"{name}_mask"], seconds=arrays["seconds"]
            )
            for name in ("static", "dynamic")
        }
        write_feature_set(new_set, streams=streams, clips=table, labels=labels, metadata=metadata)
        _replace(features_dir, new_set)
        save_copy(features_dir, written)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_contact_sheet(features_dir: Path, paths: Sequence[Path]) -> None:
    """Write the strips of cached clips as one image. Without strips, no file is written."""
    strips = [strip for path in paths if (strip := read_cached_clip(path).strip) is not None]
    if strips:
        with atomic_path(features_dir / SHEET_NAME) as temporary:
            # `cv2.imwrite` does not report a full disk, so it is not used.
            temporary.write_bytes(cv2.imencode(".png", stack_strips(strips))[1].tobytes())


def read_earlier_metadata(features_dir: Path) -> dict[str, Any] | None:
    """Return the content of `features.json`, or None if this file does not exist.

    Raises:
        ExtractionError: If the directory contains files that were not written by an extraction.
    """
    if not features_dir.exists():
        return None
    if not features_dir.is_dir():
        raise ExtractionError(f"{features_dir}: must be a directory, but is a file.")
    path = features_dir / METADATA_NAME
    metadata = read_json(path) if path.exists() else None
    if not (features_dir / CACHE_NAME).is_dir():
        foreign = [path.name for path in features_dir.iterdir() if path.name != LOCK_NAME]
    elif metadata is not None:
        known = metadata.get("files", ())
        foreign = [path.name for path in _array_files(features_dir) if path.name not in known]
    else:  # an unfinished set
        foreign = []
    if foreign:
        raise ExtractionError(
            f"{features_dir}: contains {min(foreign)}, which was not written by an extraction. "
            "Give another --features_dir, or move the files away."
        )
    return dict(metadata) if metadata is not None else None


def is_complete(features_dir: Path, metadata: Mapping[str, Any]) -> bool:
    """Return True if all files listed in `features.json` exist with the listed shape and dtype."""
    try:
        for name, described in metadata["files"].items():
            array = np.load(features_dir / name, mmap_mode="r", allow_pickle=False)
            if [list(array.shape), str(array.dtype)] != [described["shape"], described["dtype"]]:
                return False
        return (features_dir / CLIPS_NAME).is_file()
    except (OSError, ValueError, KeyError):
        return False


def _collect(
    scratch: Path, paths: Mapping[str, Path]
) -> tuple[dict[str, NDArray[Any]], pd.DataFrame]:
    # Arrays are written row by row, so the memory use does not depend on the number of clips.
    rows: list[dict[str, Any]] = []
    with disk_errors_named(scratch / "features"), contextlib.ExitStack() as stack:
        # With memory-mapped files, a full disk would kill the process, so plain files are used.
        files = {
            name: stack.enter_context((scratch / f"{name}.npy").open("wb")) for name in _ARRAYS
        }
        for path in paths.values():
            clip = read_cached_clip(path)
            for name, file in files.items():
                values = getattr(clip, name)
                values = values.astype(np.float32) if name == "seconds" else values
                if not rows:
                    header = {
                        "descr": dtype_to_descr(values.dtype),
                        "fortran_order": False,
                        "shape": (len(paths), *values.shape),
                    }
                    write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(values).data)
            rows.append({**clip.quality, "warnings": "; ".join(clip.warnings)})
    arrays = {
        name: np.load(scratch / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in _ARRAYS
    }
    return arrays, pd.DataFrame(rows)


def _replace(features_dir: Path, new_set: Path) -> None:
    # A set without `features.json` counts as unfinished. The next extraction writes a new set.
    (features_dir / METADATA_NAME).unlink(missing_ok=True)
    for old in _array_files(features_dir):
        old.unlink()
    for new in sorted(new_set.iterdir(), key=lambda path: path.name == METADATA_NAME):
        new.replace(features_dir / new.name)


def _array_files(features_dir: Path) -> list[Path]:
    paths = [features_dir / f"{name}.npy" for name in (*_ARRAYS, "labels")]
    return [path for path in paths if path.exists()]
