"""Table of predicted scores with prediction intervals.

Shapes: N clips, K traits.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError
from pipeline.core.files import atomic_path, why_unwritable
from pipeline.core.traits import TraitLabel
from pipeline.records.calibration import Calibration
from pipeline.records.predictions import Names

FORMATS: Final = (".csv", ".npy", ".parquet")
"""Suffixes of the table formats. A `.npy` file contains a structured array."""


def score_table(
    clip_ids: Names,
    y_pred: FloatArray,
    calibration: Calibration,
    *,
    units: Sequence[TraitLabel] = (),
) -> pd.DataFrame:
    """Build a table of the scores `y_pred` (N, K), with one row per clip.

    The columns are `clip_id`, and for each trait of `calibration` the score and both limits of the
    interval. They are in [0, 1], or, if `units` is given, in the original ranges of these traits.
    """
    scores = np.asarray(y_pred, dtype=np.float64)
    low, high = calibration.intervals(scores)
    if units:
        lows = np.array([trait.label_range[0] for trait in units])
        widths = np.array([trait.width for trait in units])
        scores, low, high = (lows + widths * part for part in (scores, low, high))
    columns: dict[str, Any] = {"clip_id": [str(clip_id) for clip_id in clip_ids]}
    for index, trait in enumerate(calibration.trait_names):
        columns[trait] = scores[:, index]
        columns[f"{trait}_low"] = low[:, index]
        columns[f"{trait}_high"] = high[:, index]
    return pd.DataFrame(columns)


def check_table_path(path: Path) -> None:
    """Check that a table can be written to a path.

    Raises:
        ConfigError: If the suffix is unknown, or the path is not writable.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(
            f"{path}: the suffix {path.suffix!r} is not a table format; use one of "
            f"{', '.join(FORMATS)}."
        )
    if reason := why_unwritable(path):
        raise ConfigError(reason)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table atomically and without loss of precision. The suffix defines the format.

    Before this call, check the path with `check_table_path`.
    """
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False, lineterminator="\n")
        elif path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            np.save(temporary, _structured_array(table), allow_pickle=False)


def _structured_array(table: pd.DataFrame) -> Any:
    # NumPy would pickle text of variable width, so text is stored with a fixed width.
    text = table.select_dtypes(exclude=["number", "bool"])
    types = {name: column.to_numpy(np.str_).dtype for name, column in text.items()}
    return table.to_records(index=False, column_dtypes=types)
