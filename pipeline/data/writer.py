"""Write a feature set whole or not at all.

Shape letters: N clips, n clips written, T steps, D width.
"""

import glob
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pipeline.core.arrays import IntArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.files import disk_errors_named, file_hash, write_json, write_text
from pipeline.data.feature_set import load_feature_set
from pipeline.data.shard import CLIPS_NAME, METADATA_NAME
from pipeline.data.stream import CHUNK_BYTES

_UNFINISHED_SECONDS = 3600.0
"""Age of a temporary directory after which no process writes to it any more."""


def write_feature_set(
    features_dir: Path,
    *,
    static: ArrayLike,
    dynamic: ArrayLike,
    clips: pd.DataFrame,
    labels: ArrayLike | None = None,
    static_mask: ArrayLike | None = None,
    dynamic_mask: ArrayLike | None = None,
    seconds: ArrayLike | None = None,
    metadata: Mapping[str, Any] | None = None,
    rows: IntArray | None = None,
) -> None:
    """Write a feature set that `load_feature_set` accepts.

    The files are written beside `features_dir`, validated by loading them, and renamed
    into place: a write that fails or is killed leaves nothing there. Memory maps are
    copied in chunks.

    Args:
        features_dir: Where to; must not exist, or be an empty directory.
        static: Features, shape (N, T, D) or (N, D); the dtype is kept.
        dynamic: Features of the same clips.
        clips: Table with `clip_id` and `group`, in the same order.
        labels: Scores in OCEAN order in [0, 1], shape (N, 5); written as float32.
        static_mask: True where a step is valid, shape (N, T).
        dynamic_mask: The same for the dynamic steps.
        seconds: When each static step and dynamic window is, from the start of its clip, shape
            (N, T), NaN where unknown; written as float32.
        metadata: Written to `features.json`, along with the shape, dtype and SHA-256 of
            each array under `files`.
        rows: Row numbers of the clips to write, in this order, shape (n,); None for all.

    Raises:
        FeatureSetError: If the destination is taken, or the set breaks the contract.
    """
    _refuse_taken(features_dir)
    arrays = {
        "static": np.asanyarray(static),
        "dynamic": np.asanyarray(dynamic),
        "labels": None if labels is None else np.asarray(labels, dtype=np.float32),
        "static_mask": None if static_mask is None else np.asanyarray(static_mask),
        "dynamic_mask": None if dynamic_mask is None else np.asanyarray(dynamic_mask),
        "seconds": None if seconds is None else np.asarray(seconds, dtype=np.float32),
    }
    destination = features_dir.resolve()
    prefix = f".{destination.name[:40]}."
    for unfinished in destination.parent.glob(f"{glob.escape(prefix)}????????"):
        # An old one is of a process that was killed.
        if time.time() - unfinished.stat().st_mtime > _UNFINISHED_SECONDS:
            shutil.rmtree(unfinished, ignore_errors=True)
    temporary = destination.with_name(f"{prefix}{secrets.token_hex(4)}")
    temporary.mkdir(parents=True)
    try:
        files = {
            f"{name}.npy": _write_array(temporary / f"{name}.npy", array, rows)
            for name, array in arrays.items()
            if array is not None
        }
        table = clips if rows is None else clips.iloc[rows]
        write_text(temporary / CLIPS_NAME, table.to_csv(index=False, lineterminator="\n"))
        write_json(temporary / METADATA_NAME, {**(metadata or {}), "files": files})
        _validate(temporary, features_dir)
        _refuse_taken(features_dir)
        temporary.replace(destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_taken(features_dir: Path) -> None:
    taken = features_dir.exists() and not features_dir.is_dir()
    if taken or (features_dir.is_dir() and any(features_dir.iterdir())):
        raise FeatureSetError(
            f"{features_dir}: exists already and is never overwritten. "
            f"Give another directory, or move this one away."
        )


def _write_array(path: Path, array: NDArray[Any], rows: IntArray | None) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise FeatureSetError(
            f"{path.name}: would hold Python objects, expected an array of numbers. "
            f"Give every clip the same number of steps, with a mask for the padding."
        )
    num_rows = len(array) if rows is None else len(rows)
    shape = (num_rows, *array.shape[1:])
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    header = {
        "descr": np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": shape,
    }
    # Written, not memory-mapped: a full disk is then an error instead of a SIGBUS.
    with disk_errors_named(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, num_rows, step):
            stop = min(start + step, num_rows)
            chunk = array[start:stop] if rows is None else array[rows[start:stop]]
            file.write(np.ascontiguousarray(chunk).data)
        file.flush()
        os.fsync(file.fileno())
    return {"shape": shape, "dtype": str(array.dtype), "sha256": file_hash(path)}


def _validate(temporary: Path, features_dir: Path) -> None:
    try:
        load_feature_set(temporary)
    except FeatureSetError as error:
        # The temporary place is gone when the user reads this.
        message = str(error).replace(str(temporary), str(features_dir))
        raise FeatureSetError(f"Not written: {message}") from error
