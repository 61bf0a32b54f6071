"""Split clips into training, validation and test subsets that have no group in common.

A group is a source video or a person. Because the clips of a group are similar, whole groups
are held out.

Legend: N clips.
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


class NoGroupsWarning(UserWarning):
    """Clips are split individually, because their groups are unknown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Row numbers of the clips in each subset, in ascending order."""

    train: IntArray
    """Rows for training."""
    validation: IntArray
    """Rows for model selection; may be empty."""
    test: IntArray
    """Rows for the final evaluation; may be empty."""

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
    """Split a feature set by the column `split` if it exists, and otherwise by group.

    Validation and test are treated separately. If the column assigns rows to one of these subsets,
    its fraction is ignored. Otherwise, if the fraction is above 0, whole groups of the training
    rows are moved to the subset. The fractions refer to the number of training rows and are in
    [0, 1). Each clip is in exactly one subset.

    Raises:
        SplitError: If a fraction is out of range, there are too few groups, or a required subset
            would be empty.

    Warns:
        NoGroupsWarning: If the groups are unknown. Each clip is then its own group.
    """
    subset_of_clip = feature_set.split_column
    if subset_of_clip is None:
        subset_of_clip = np.full(feature_set.num_clips, "train")
        if not feature_set.has_groups:
            warnings.warn(
                "There is no clip table, so clips are split individually. Clips of one video in "
                "two subsets inflate every score. On First Impressions, the mean label of the "
                "other clips of a video gives an accuracy of 0.905; the mean of all labels gives "
                "0.883. Give a clips.csv with clip_id and group.",
                NoGroupsWarning,
                stacklevel=2,
            )
    elif not (subset_of_clip == "train").any():
        raise SplitError(
            f"The split column assigns none of {len(subset_of_clip)} clips to train. "
            f"Assign clips to train, or drop the column to split the clips by group."
        )
    subsets = hold_out(
        feature_set.groups,
        {name: np.flatnonzero(subset_of_clip == name) for name in SPLIT_NAMES},
        fractions={"test": test_fraction, "validation": validation_fraction},
        generator=seeds.generator(seed, "split"),
    )
    if needs_validation and not len(subsets["validation"]):
        raise SplitError(
            "The split has no validation clips, which are needed to select the best epoch. Set a "
            "validation_fraction above 0, or assign clips to validation in a split column."
        )
    return Split(**subsets)


def hold_out(
    groups: NDArray[Any],
    subsets: Mapping[str, IntArray],
    *,
    fractions: Mapping[str, float],
    generator: np.random.Generator,
) -> dict[str, IntArray]:
    """Move whole groups from the training rows to empty subsets with a fraction above 0.

    The groups are shuffled. A group is moved to a subset if the size of the subset comes closer to
    the target size, the fraction times the number of training rows. At least one group is moved to
    each of these subsets. The result depends on the names and sizes of the groups, not on the order
    of the rows.

    Args:
        groups: The group of each clip, shape (N,).
        subsets: Row numbers by subset, in ascending order: `train` and each key of `fractions`.
        fractions: Subset -> fraction of the training rows to move to this subset, in [0, 1);
            ignored for a subset that already has rows.
        generator: Random generator of the shuffle.

    Returns:
        Row numbers by subset, in ascending order.

    Raises:
        SplitError: If a fraction is out of range, the fractions add up to 1 or more, or there are
            too few groups.
    """
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:  # also true for NaN
            raise SplitError(
                f"{name}_fraction is {fraction}, but must be in [0, 1). "
                f"For a fifth of the clips, use 0.2."
            )
    if sum(fractions.values()) >= 1:
        raise SplitError(
            f"The fractions for {' and '.join(fractions)} add up to {sum(fractions.values())}, "
            f"so no training clips are left. Lower one of the fractions."
        )
    targets = {
        name: fraction * len(subsets["train"])
        for name, fraction in fractions.items()
        if fraction and not len(subsets[name])
    }
    names, group_of_row, sizes = np.unique(
        groups[subsets["train"]], return_inverse=True, return_counts=True
    )
    if len(names) <= len(targets):
        raise SplitError(
            f"The training clips form {len(names)} group(s), but at least {len(targets) + 1} "
            f"groups are needed to hold out clips for {' and '.join(targets)}. "
            f"Add clips of other groups, or add a split column."
        )
    remaining = generator.permutation(len(names))
    filled = dict(subsets)
    for num_reserved, (name, target) in zip(
        range(len(targets), 0, -1), targets.items(), strict=True
    ):
        chosen = _choose_groups(remaining, sizes, target, num_reserved=num_reserved)
        filled[name] = subsets["train"][np.isin(group_of_row, chosen)]
        remaining = remaining[~np.isin(remaining, chosen)]
    filled["train"] = subsets["train"][np.isin(group_of_row, remaining)]
    return filled


def split_folds(
    groups: NDArray[Any], *, num_folds: int, seed: int, rows: IntArray | None = None
) -> tuple[Split, ...]:
    """Split rows into cross-validation folds by group.

    Each row is in the validation subset of one fold and in the training subset of all other folds.
    Groups are assigned in descending order of size. Each group is assigned to the fold with the
    fewest rows, so that the folds have similar sizes. The test subsets are empty. `rows` contains
    the numbers of the rows to split; None means all rows.

    Raises:
        SplitError: If there are fewer than two folds, or fewer groups than folds.
    """
    rows = np.arange(len(groups)) if rows is None else np.sort(rows)
    _, group_of_row, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
    if not 2 <= num_folds <= len(sizes):
        raise SplitError(
            f"num_folds is {num_folds}, but must be at least 2 and at most {len(sizes)}, the "
            f"number of groups. Use fewer folds, or add clips of other groups."
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
    """Count the groups that are in two subsets of a split.

    Returns:
        Pair of non-empty subsets, e.g. `train/test` -> counts. `shared_groups` is the number of
        groups in both subsets. `shared_clips` is a fraction in [0, 1]: the clips of these
        groups in the second subset, divided by all clips in the second subset. For a split
        by group, both numbers are 0.
    """
    overlap: dict[str, dict[str, float | int]] = {}
    subsets = [(name, rows) for name, rows in split.subsets() if len(rows)]
    for (first, first_rows), (second, second_rows) in combinations(subsets, 2):
        is_shared = np.isin(groups[second_rows], groups[first_rows])
        overlap[f"{first}/{second}"] = {
            "shared_groups": len(np.unique(groups[second_rows][is_shared])),
            "shared_clips": float(is_shared.mean()),
        }
    return overlap


def write_split(path: Path, feature_set: FeatureSet, split: Split) -> None:
    """Write `clip_id`, `group` and `split` of each clip to a CSV table, in row order."""
    rows = np.concatenate([subset for _, subset in split.subsets()])
    names = np.repeat(SPLIT_NAMES, [len(subset) for _, subset in split.subsets()])
    table = feature_set.clips.loc[rows, ["clip_id", "group"]].assign(split=names).sort_index()
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_split(path: Path) -> pd.DataFrame:
    """Read a table from `write_split`: `clip_id`, `group` and `split` as str, one row per clip.

    Raises:
        PipelineError: If the file is missing or is not a split of clips.
    """
    table = read_clips(path, allows_repeats=True)
    if "split" not in table:
        raise SplitError(
            f"{path}: has no column split; found {', '.join(table.columns)}. "
            f"Give a file with the subset of each clip."
        )
    # Early versions wrote ids that were not normalized, so a clip can have several rows. If one
    # of these rows is a training row, the clip is a training clip.
    first = table["split"].map(SPLIT_NAMES.index).sort_values(kind="stable").index
    kept = table.loc[first].drop_duplicates("clip_id").sort_index()
    return kept[["clip_id", "group", "split"]].reset_index(drop=True)


def names_in_subset(table: pd.DataFrame, subset: str, column: str) -> NDArray[np.str_]:
    """Return one column of a `read_split` table for the clips of one subset.

    `column` is `clip_id` or `group`. The dtype is str, because NumPy compares object arrays slowly.
    """
    return np.asarray(table.loc[table["split"] == subset, column], dtype=np.str_)


def _choose_groups(
    order: IntArray, sizes: IntArray, target: float, *, num_reserved: int
) -> list[int]:
    chosen: list[int] = []
    num_rows = 0
    for group in order.tolist():
        if len(chosen) == len(order) - num_reserved:
            break
        if abs(num_rows + sizes[group] - target) < abs(num_rows - target):
            chosen.append(group)
            num_rows += int(sizes[group])
    # If every group is at least twice as large as the target, the smallest group is chosen.
    return chosen or [min(order.tolist(), key=lambda group: int(sizes[group]))]
