"""Split clips into sides that share no group.

A group is a source video or a person. A model that has seen other clips of the video
it is tested on is scored for remembering, so whole groups stay on one side.

Shape letters: N clips.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core import seeds
from pipeline.core.arrays import IntArray
from pipeline.core.errors import SplitError
from pipeline.core.files import write_text
from pipeline.data.clip_table import SPLIT_NAMES, read_clips
from pipeline.data.feature_set import FeatureSet
from pipeline.data.hold_out import hold_out


class NoGroupsWarning(UserWarning):
    """Clips are split one by one, as nothing says which belong together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Row numbers of the clips on each side, in rising order."""

    train: IntArray
    """Rows to fit on."""

    validation: IntArray
    """Rows to choose by: the best epoch, the best settings; empty for a fit on all rows."""

    test: IntArray
    """Rows to report on, read once; may be empty."""

    def __post_init__(self) -> None:
        for name, rows in self.subsets():
            object.__setattr__(self, name, np.sort(np.asarray(rows, dtype=np.intp)))

    def subsets(self) -> Iterator[tuple[str, IntArray]]:
        """Yield the name and the rows of train, validation and test."""
        for name in SPLIT_NAMES:
            yield name, getattr(self, name)


def split_feature_set(
    feature_set: FeatureSet,
    *,
    validation_fraction: float,
    test_fraction: float = 0.0,
    seed: int,
    needs_validation: bool = True,
) -> Split:
    """Split a feature set by its `split` column, or else by group.

    A side that the column marks is taken as marked, and its fraction is not looked at; a
    side that it does not mark is held out of the training rows, by group.

    Args:
        feature_set: The clips.
        validation_fraction: Share of the rows to hold out for validation, in [0, 1).
        test_fraction: Share of the rows to hold out for the test, in [0, 1).
        seed: Seed of the experiment.
        needs_validation: Whether a split that holds no clips out for validation is refused.

    Returns:
        Rows of every clip, each on one side.

    Raises:
        SplitError: If a fraction is out of range, there are too few groups, a side
            would be empty, or the column marks no training rows.

    Warns:
        NoGroupsWarning: If the set has no groups, and so is split clip by clip.
    """
    marked = feature_set.split_column
    if marked is None:
        marked = np.full(feature_set.num_clips, "train")
        if not feature_set.has_groups:
            _warn_no_groups()
    elif not (marked == "train").any():
        raise SplitError(
            f"The split column marks none of {len(marked)} clips as train. "
            f"Mark some, or drop the column to have the clips split by group."
        )
    sides = hold_out(
        feature_set.groups,
        {name: np.flatnonzero(marked == name) for name in SPLIT_NAMES},
        fractions={"test": test_fraction, "validation": validation_fraction},
        generator=seeds.generator(seed, "split"),
    )
    return _split_of(sides) if needs_validation else Split(**sides)


def split_by_group(
    groups: NDArray[Any],
    *,
    validation_fraction: float,
    test_fraction: float = 0.0,
    generator: np.random.Generator,
) -> Split:
    """Hold out whole groups, drawn at random, until the fractions are met.

    A group is taken where that brings the number of rows nearer to the fraction, and at
    least one group is. Which groups are held out depends on their names and sizes, not
    on the order of the rows.

    Args:
        groups: The group of each clip, shape (N,).
        validation_fraction: Share of the rows to hold out for validation, in [0, 1).
        test_fraction: Share of the rows to hold out for the test, in [0, 1).
        generator: Source of the draws.

    Raises:
        SplitError: If a fraction is out of range, there are too few groups, or no clips
            are left for training or held out for validation.
    """
    none = np.arange(0)
    sides = hold_out(
        groups,
        {"train": np.arange(len(groups)), "validation": none, "test": none},
        fractions={"test": test_fraction, "validation": validation_fraction},
        generator=generator,
    )
    return _split_of(sides)


def split_folds(
    groups: NDArray[Any], *, num_folds: int, seed: int, rows: IntArray | None = None
) -> tuple[Split, ...]:
    """Split into folds by group: each row is validated on once, and trained on otherwise.

    The largest groups are dealt first, each to the fold with the fewest rows, so that
    folds are balanced in rows. The test side is empty.

    Args:
        groups: The group of each clip, shape (N,).
        num_folds: Number of folds, two or more.
        seed: Seed of the experiment.
        rows: Rows to split, e.g. those outside the test side; None for all.

    Raises:
        SplitError: If there are fewer than two folds, or fewer groups than folds.
    """
    rows = np.arange(len(groups)) if rows is None else np.sort(rows)
    _, group_of_row, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    if not 2 <= num_folds <= len(sizes):
        raise SplitError(
            f"num_folds is {num_folds}, expected at least 2 and at most {len(sizes)} (groups). "
            f"Ask for fewer folds, or add clips of other groups."
        )
    order = seeds.generator(seed, "folds").permutation(len(sizes))
    fold_of_group = np.empty(len(sizes), dtype=np.intp)
    fold_rows = np.zeros(num_folds, dtype=np.intp)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of_group[group] = fold_rows.argmin()
        fold_rows[fold_of_group[group]] += sizes[group]
    fold_of_row = fold_of_group[group_of_row]
    return tuple(
        Split(train=rows[fold_of_row != fold], validation=rows[fold_of_row == fold], test=rows[:0])
        for fold in range(num_folds)
    )


def group_overlap(groups: NDArray[Any], split: Split) -> dict[str, dict[str, float | int]]:
    """Measure how far the sides of a split share groups; all zeros where they are disjoint.

    Args:
        groups: The group of each clip, shape (N,).
        split: The sides.

    Returns:
        For `train/validation`, `train/test` and `validation/test`, where both sides have clips:
        the number of `shared_groups`, and `shared_clips`, the share in [0, 1] of the second
        side's clips whose group the first side holds too.
    """
    overlap: dict[str, dict[str, float | int]] = {}
    sides = [(name, rows) for name, rows in split.subsets() if len(rows)]
    for (first, first_rows), (second, second_rows) in combinations(sides, 2):
        is_shared = np.isin(groups[second_rows], groups[first_rows])
        overlap[f"{first}/{second}"] = {
            "shared_groups": len(np.unique(groups[second_rows][is_shared])),
            "shared_clips": float(is_shared.mean()),
        }
    return overlap


def write_split(path: Path, feature_set: FeatureSet, split: Split) -> None:
    """Write which side each clip is on as CSV: `clip_id`, `group`, `split`, in row order."""
    rows = np.concatenate([side for _, side in split.subsets()])
    names = np.repeat(SPLIT_NAMES, [len(side) for _, side in split.subsets()])
    table = feature_set.clips.loc[rows, ["clip_id", "group"]].assign(split=names).sort_index()
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_split(path: Path) -> pd.DataFrame:
    """Read a file of `write_split`: columns `clip_id`, `group` and `split`, all text.

    Raises:
        PipelineError: If the file is missing or is not a split of named clips.
    """
    table = read_clips(path, allows_repeats=True)
    if "split" not in table:
        raise SplitError(
            f"{path}: has no column split; found {', '.join(table.columns)}. "
            f"Give a file that says which clip is on which side."
        )
    # Earlier versions kept names apart that differ only invisibly, and such a run must still open.
    # A clip that was trained on under one of its names counts as a training clip.
    first = table["split"].map(SPLIT_NAMES.index).sort_values(kind="stable").index
    kept = table.loc[first].drop_duplicates("clip_id").sort_index()
    return kept[["clip_id", "group", "split"]].reset_index(drop=True)


def names_in_subset(table: pd.DataFrame, side: str, column: str) -> NDArray[np.str_]:
    """Return the clips or groups of one side of a split that was read, shape (N,).

    They are text, as numpy compares objects pair by pair.

    Args:
        table: What `read_split` gives.
        side: `train`, `validation` or `test`.
        column: `clip_id` or `group`.
    """
    return np.asarray(table.loc[table["split"] == side, column], dtype=np.str_)


def _split_of(sides: Mapping[str, IntArray]) -> Split:
    if not len(sides["validation"]):
        raise SplitError(
            "The split leaves no clips for validation, by which the best epoch is chosen. "
            "Set a validation_fraction above 0, or mark some in a split column."
        )
    return Split(**sides)


def _warn_no_groups() -> None:
    warnings.warn(
        "There is no clips table, so clips are split one by one. Clips of one video on both "
        "sides inflate every score: on First Impressions the mean label of the same video's "
        "other clips alone reaches an accuracy of 0.905, against 0.883 for the mean of all. "
        "Give a clips.csv with clip_id and group.",
        NoGroupsWarning,
        stacklevel=3,
    )
