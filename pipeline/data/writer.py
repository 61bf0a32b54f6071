"""Write a feature set to a directory. After an error, no files are left there.

Legend: N clips, n written clips, T steps, D width.
"""

import glob
import os
import secrets
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pipeline.core.arrays import IntArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import disk_errors_named, file_hash, write_json, write_text
from pipeline.core.stream_names import MASK_ENDING, SECONDS_ENDING
from pipeline.data.feature_set import load_feature_set
from pipeline.data.shard import CLIPS_NAME, METADATA_NAME
from pipeline.data.stream import CHUNK_BYTES

_UNFINISHED_SECONDS = 3600.0
"""Age after which the next write to the same path deletes an unfinished temporary directory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamValues:
    """Arrays of one stream."""

    values: ArrayLike
    """Features, shape (N, T, D) or (N, D); the dtype is kept."""
    mask: ArrayLike | None = None
    """True for valid steps, shape (N, T), or (N, 1) for vectors; None if all are valid."""
    seconds: ArrayLike | None = None
    """Time of each step in seconds, shape (N, T), NaN if unknown; written as float32."""


def write_feature_set(
    features_dir: Path,
    *,
    streams: Mapping[str, StreamValues],
    clips: pd.DataFrame,
    labels: ArrayLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    rows: IntArray | None = None,
) -> None:
    """Write a feature set that `load_feature_set` can load.

    The files are written to a temporary directory and loaded as a check. Then this directory is
    renamed to `features_dir`. If the write fails, `features_dir` contains no files. Memory maps are
    copied in chunks.

    Args:
        features_dir: New or empty directory.
        streams: Name -> arrays of each stream, for the same clips in the same order.
        clips: Table with `clip_id` and `group`, in the order of the features.
        labels: Scores in [0, 1], shape (N, K); written as float32. If the columns are not the five
            OCEAN traits in the standard order, `metadata` must contain `traits`.
        metadata: Content of `features.json`; the names of the streams, and the shape, dtype and
            hash of each array are added.
        rows: Row numbers of the clips to write, in this order, shape (n,); None for all.

    Raises:
        FeatureSetError: If the directory is not empty, or the feature set has a wrong format.
    """
    check_empty(features_dir)
    arrays = _arrays(streams)
    if labels is not None:
        arrays["labels"] = np.asarray(labels, dtype=np.float32)
    destination = features_dir.resolve()
    prefix = f".{destination.name[:40]}."
    for unfinished in destination.parent.glob(f"{glob.escape(prefix)}????????"):
        if time.time() - unfinished.stat().st_mtime > _UNFINISHED_SECONDS:
            shutil.rmtree(unfinished, ignore_errors=True)
    temporary = destination.with_name(f"{prefix}{secrets.token_hex(4)}")
    temporary.mkdir(parents=True)
    try:
        files = {
            f"{name}.npy": _write_array(temporary / f"{name}.npy", array, rows)
            for name, array in arrays.items()
        }
        table = clips if rows is None else clips.iloc[rows]
        write_text(temporary / CLIPS_NAME, table.to_csv(index=False, lineterminator="\n"))
        description = {**(metadata or {}), "streams": list(streams), "files": files}
        write_json(temporary / METADATA_NAME, description)
        try:
            load_feature_set(temporary)
        except FeatureSetError as error:
            # The message contains the destination, because the temporary directory is removed.
            message = str(error).replace(str(temporary), str(features_dir))
            raise FeatureSetError(f"Not written: {message}") from error
        check_empty(features_dir)
        temporary.replace(destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _arrays(streams: Mapping[str, StreamValues]) -> dict[str, NDArray[Any]]:
    """Return file name without suffix -> array."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, stream in streams.items():
        arrays[name] = np.asanyarray(stream.values)
        if stream.mask is not None:
            arrays[f"{name}{MASK_ENDING}"] = np.asanyarray(stream.mask)
    sequences = [name for name in streams if arrays[name].ndim > 2]
    times = [streams[name].seconds for name in sequences]
    if times and times[0] is not None and all(each is times[0] for each in times):
        return {**arrays, "seconds": np.asarray(times[0], dtype=np.float32)}
    return arrays | {
        f"{name}{SECONDS_ENDING}": np.asarray(stream.seconds, dtype=np.float32)
        for name, stream in streams.items()
        if stream.seconds is not None
    }


def check_empty(features_dir: Path, *, ignored: Collection[str] = ()) -> None:
    """Check that a directory is new, or contains only files with `ignored` names.

    Raises:
        FeatureSetError: If the directory has other files, or is a file.
    """
    is_file = features_dir.exists() and not features_dir.is_dir()
    if is_file or (
        features_dir.is_dir() and any(path.name not in ignored for path in features_dir.iterdir())
    ):
        raise FeatureSetError(
            f"{features_dir}: exists already and is never overwritten. "
            f"Give another directory, or move this directory away."
        )


def _write_array(path: Path, array: NDArray[Any], rows: IntArray | None) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise FeatureSetError(
            f"{path.name}: must be an array of numbers, but would contain Python objects. "
            f"Give every clip the same number of steps, with a mask for the padding."
        )
    num_rows = len(array) if rows is None else len(rows)
    shape = (num_rows, *array.shape[1:])
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    descr = np.lib.format.dtype_to_descr(array.dtype)
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    # If the disk is full, a write raises an error. A memory map would end the process (SIGBUS).
    with disk_errors_named(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, num_rows, step):
            stop = min(start + step, num_rows)
            chunk = array[start:stop] if rows is None else array[rows[start:stop]]
            file.write(np.ascontiguousarray(chunk).data)
        file.flush()
        os.fsync(file.fileno())
    return {"shape": shape, "dtype": str(array.dtype), "sha256": file_hash(path)}
