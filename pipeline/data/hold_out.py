"""Draw whole groups, until as many rows are held out as asked for.

Shape letters: N clips.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import IntArray
from pipeline.core.errors import SplitError


def hold_out(
    groups: NDArray[Any],
    sides: Mapping[str, IntArray],
    *,
    fractions: Mapping[str, float],
    generator: np.random.Generator,
) -> dict[str, IntArray]:
    """Fill each empty side from the training rows, whole group by whole group.

    Groups are put in a random order, which depends on their names alone; each side, in
    the order of `fractions`, takes those that bring it nearer to its share.

    Args:
        groups: The group of each clip, shape (N,).
        sides: Row numbers by side; `train` and each key of `fractions`.
        fractions: Share of the training rows by side, in [0, 1). It is not looked at for
            a side that has rows.
        generator: Source of the draws.

    Returns:
        Row numbers by side, each in rising order where those of `sides` are.

    Raises:
        SplitError: If a fraction is out of range, they add up to 1 or more, or there are
            too few groups.
    """
    _check_fractions(fractions)
    targets = {
        name: fraction * len(sides["train"])
        for name, fraction in fractions.items()
        if fraction and not len(sides[name])
    }
    names, group_of_row, sizes = np.unique(
        groups[sides["train"]], return_inverse=True, return_counts=True
    )
    if len(names) <= len(targets):
        raise SplitError(
            f"The clips to train on form {len(names)} group(s), but at least "
            f"{len(targets) + 1} groups are needed to hold {len(targets)} out "
            f"({', '.join(targets)}). Add clips of other groups, or mark sides in a split column."
        )
    remaining = generator.permutation(len(names))
    filled = dict(sides)
    for num_reserved, (name, target) in zip(
        range(len(targets), 0, -1), targets.items(), strict=True
    ):
        chosen = _draw(remaining, sizes, target, num_reserved=num_reserved)
        filled[name] = sides["train"][np.isin(group_of_row, chosen)]
        remaining = remaining[~np.isin(remaining, chosen)]
    filled["train"] = sides["train"][np.isin(group_of_row, remaining)]
    return filled


def _draw(order: IntArray, sizes: IntArray, target: float, *, num_reserved: int) -> list[int]:
    """Go through the groups in order, and take those that bring the rows nearer to target."""
    chosen: list[int] = []
    num_rows = 0
    for group in order.tolist():
        if len(chosen) == len(order) - num_reserved:
            break
        if abs(num_rows + sizes[group] - target) < abs(num_rows - target):
            chosen.append(group)
            num_rows += int(sizes[group])
    # Every group is at least twice the target: the nearest is the smallest.
    return chosen or [min(order.tolist(), key=lambda group: int(sizes[group]))]


def _check_fractions(fractions: Mapping[str, float]) -> None:
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:  # written so that NaN is refused
            raise SplitError(
                f"{name}_fraction is {fraction}, expected a number in [0, 1). "
                f"A fifth of the clips is 0.2."
            )
    if sum(fractions.values()) >= 1:
        raise SplitError(
            f"The fractions for {' and '.join(fractions)} add up to {sum(fractions.values())}, "
            f"which leaves nothing to train on. Lower one of them."
        )
