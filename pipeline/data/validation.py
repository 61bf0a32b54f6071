"""The checks that arrays of a feature set must pass; each refusal names place and cure.

Shape letters: N clips, T steps, D width. Rows are counted from 0 within their file.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.errors import FeatureSetError
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.data.stream import Stream


def check_features(path: Path, values: NDArray[Any]) -> None:
    """Refuse features that are not (N, D), (N, T, D) or pictures, or hold nothing.

    Raises:
        FeatureSetError: Naming the shape found.
    """
    if values.ndim not in (2, 3, 5):
        raise FeatureSetError(
            f"{path}: has shape {values.shape}, expected (clips, steps, features) or "
            f"(clips, features), or pictures (clips, steps, height, width, channels). "
            f"Reshape the array and save it again."
        )
    if values.size == 0:
        raise FeatureSetError(
            f"{path}: has shape {values.shape}, which holds no features. "
            f"Extract the features of at least one clip."
        )


def check_rows(path: Path, num_rows: int, *, reference: Path, expected: int) -> None:
    """Refuse a file that does not have one row for each row of the `reference` file.

    Raises:
        FeatureSetError: Naming both files and both counts.
    """
    if num_rows != expected:
        raise FeatureSetError(
            f"{path}: has {num_rows} rows, but {reference} has {expected}. "
            f"Write both for the same clips, in the same order."
        )


def check_mask(path: Path, mask: BoolArray, values: NDArray[Any], clips: pd.DataFrame) -> None:
    """Refuse a mask that does not fit its features, or leaves a clip without a step.

    Raises:
        FeatureSetError: Naming the shapes, or the row and its clip.
    """
    if values.ndim < 3:
        raise FeatureSetError(
            f"{path}: masks features of shape {values.shape}, which have no steps. "
            f"Delete the mask, or give the features as (clips, steps, features)."
        )
    if mask.shape != values.shape[:2]:
        raise FeatureSetError(
            f"{path}: has shape {mask.shape}, expected {values.shape[:2]} as in the features. "
            f"Write one True or False for each step."
        )
    empty = ~mask.any(axis=1)
    if empty.any():
        raise FeatureSetError(
            f"{path}: {_row(int(empty.argmax()), clips)} has no valid step (True). "
            f"Mark its valid steps, or drop the clip from every file."
        )


def check_seconds(path: Path, seconds: NDArray[Any], streams: Sequence[NDArray[Any]]) -> None:
    """Refuse times that are not one a step, shape (N, T), or are infinite; NaN is unknown.

    Args:
        path: Where they come from.
        seconds: From the start of the clip, one a static step and dynamic window.
        streams: The features; those of one vector a clip have no steps.

    Raises:
        FeatureSetError: Naming the shapes, or the row and the step.
    """
    expected = {values.shape[:2] for values in streams if values.ndim > 2}
    if expected != {seconds.shape}:
        found = " and ".join(str(values.shape) for values in streams)
        raise FeatureSetError(
            f"{path}: has shape {seconds.shape}, expected one time a step (clips, steps) of "
            f"features of shape {found}. Delete it, or write it for these features."
        )
    infinite = np.isinf(seconds)
    if infinite.any():
        row, step = (int(index) for index in np.argwhere(infinite)[0])
        raise FeatureSetError(
            f"{path}: row {row} holds {seconds[row, step]} in step {step}, expected seconds from "
            f"the start of the clip. Write NaN where the time is not known."
        )


def check_labels(path: Path, labels: NDArray[Any], clips: pd.DataFrame) -> None:
    """Refuse labels that are not (N, 5) in OCEAN order, finite and in [0, 1].

    Raises:
        FeatureSetError: Naming the shape, or the row, the trait and the value.
    """
    if labels.ndim != 2 or labels.shape[1] != NUM_TRAITS:
        drop = " Drop the `interview` column." if labels.shape[1:] == (NUM_TRAITS + 1,) else ""
        raise FeatureSetError(
            f"{path}: has shape {labels.shape}, expected ({len(clips)}, {NUM_TRAITS}) "
            f"with the columns {', '.join(TRAITS)}.{drop or ' Reorder or add columns.'}"
        )
    wrong = ~((labels >= 0) & (labels <= 1))  # written so that NaN is wrong
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise FeatureSetError(
            f"{path}: {_row(row, clips)} has {TRAITS[column]} {labels[row, column]}, "
            f"expected a score in [0, 1]. {_label_cure(labels)}"
        )


def finite_chunks(stream: Stream, clips: pd.DataFrame) -> Iterator[FloatArray]:
    """Yield the whole stream chunk by chunk as float32, refusing the first unusable value.

    Raises:
        FeatureSetError: Naming the file, row, clip, step and column of a NaN, an
            infinity, or a number too large for float32.
    """
    for rows, values in stream.chunks():
        finite = np.isfinite(values)
        if not finite.all():
            index, *position = (int(axis) for axis in np.argwhere(~finite)[0])
            raise _not_finite(stream, int(rows[index]), position, clips)
        yield values


def _not_finite(
    stream: Stream, row: int, position: list[int], clips: pd.DataFrame
) -> FeatureSetError:
    part, part_row = stream.locate(row)
    found = part.values[part_row][tuple(position)]
    too_large = ", too large for float32," if np.isfinite(found) else ""
    steps = f"step {position[0]}, " if len(position) > 1 else ""
    cure = "Extract the clip again, or drop it from every file."
    if part.mask is not None and not part.mask[part_row, position[0]]:
        cure = "The mask marks this step as padding: pad with zeros."
    where = f"row {part_row}{_clip(row, clips)}"
    return FeatureSetError(
        f"{part.path}: {where} holds {found}{too_large} in {steps}column {position[-1]}, "
        f"expected finite numbers. {cure}"
    )


def _label_cure(labels: NDArray[Any]) -> str:
    finite = labels[np.isfinite(labels)]
    if finite.size < labels.size:
        return "Drop the clips without a score from every file."
    largest = finite.max()
    if largest <= 1.5:
        return "Map the scores to [0, 1]: standardised scores must be mapped back."
    for top in (5, 7):
        if largest <= top and finite.min() >= 1:
            return f"Scores look like 1-{top}: subtract 1, then divide by {top - 1}."
        if largest <= top:
            return f"Scores look like 0-{top}: divide by {top}."
    return "Scores look like 0-100: divide by 100."


def _row(row: int, clips: pd.DataFrame) -> str:
    return f"row {row}{_clip(row, clips)}"


def _clip(row: int, clips: pd.DataFrame) -> str:
    return f" (clip {clips['clip_id'].iloc[row]})"
