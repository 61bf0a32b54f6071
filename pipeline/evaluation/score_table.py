"""Predicted scores with their intervals, as the table that a user gets.

Shapes: N clips, K = 5 traits.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError
from pipeline.core.files import atomic_path, why_unwritable
from pipeline.core.traits import TRAITS
from pipeline.records.calibration import Calibration
from pipeline.records.predictions import Names

FORMATS: Final = (".csv", ".npy", ".parquet")
"""What a table can be written as; a `.npy` file holds one record a row, with named fields."""


def score_table(clip_ids: Names, y_pred: FloatArray, calibration: Calibration) -> pd.DataFrame:
    """Return one row a clip: `clip_id`, and of each trait the score and its interval's ends.

    Args:
        clip_ids: Id of each clip, N names.
        y_pred: Predicted scores, shape (N, 5), in OCEAN order.
        calibration: Where the intervals come from.
    """
    scores = np.asarray(y_pred, dtype=np.float64)
    low, high = calibration.intervals(scores)
    columns: dict[str, Any] = {"clip_id": [str(clip_id) for clip_id in clip_ids]}
    for index, trait in enumerate(TRAITS):
        columns[trait] = scores[:, index]
        columns[f"{trait}_low"] = low[:, index]
        columns[f"{trait}_high"] = high[:, index]
    return pd.DataFrame(columns)


def check_table_path(path: Path) -> None:
    """Refuse a path that no table can be written to, before hours of work.

    Raises:
        ConfigError: If the suffix names no format, or nothing can be written there.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"{path}: the suffix {path.suffix!r} names no format of a table; use one of "
            f"{', '.join(FORMATS)}."
        )
    if reason := why_unwritable(path):
        raise ConfigError(reason)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table whole or not at all, in the format that the suffix names.

    Every number reads back as the same number.

    Raises:
        ConfigError: If no table can be written to `path`.
    """
    check_table_path(path)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False, lineterminator="\n")
        elif path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            np.save(temporary, _records(table), allow_pickle=False)


def _records(table: pd.DataFrame) -> Any:
    """Return the rows as records whose text has a fixed width: numpy would pickle objects."""
    columns = {name: _plain_array(table[name]) for name in table.columns}
    records = np.empty(len(table), dtype=[(name, c.dtype) for name, c in columns.items()])
    for name, column in columns.items():
        records[name] = column
    return records


def _plain_array(column: Any) -> Any:
    values = column.to_numpy()
    return values if values.dtype.kind in "fiub" else values.astype(np.str_)
