"""Faithfulness of attention: change of the scores if the highest ranked time steps are hidden.

Shapes: N clips, T time steps, K traits, P points of a curve, R random orders.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.seeds import generator
from pipeline.records.attention import DeletionCurves

MAX_POINTS: Final = 11
"""Maximum number of points of a curve, including both ends."""


def steps_to_hide(ranking: FloatArray, is_real: BoolArray, share: float) -> BoolArray:
    """Return a mask (N, T) of the steps to hide: the fraction `share` with the highest ranks.

    The importance `ranking` and the mask `is_real` have shape (N, T). If steps have the same
    importance, the earlier step is hidden first. Padding is never hidden. The share in [0, 1] is
    rounded to whole steps per clip.
    """
    order = np.argsort(np.where(is_real, -ranking, np.inf), axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    num_hidden = np.floor(share * is_real.sum(axis=1) + 0.5)  # rounds halves up, unlike `round`
    hidden: BoolArray = place < num_hidden[:, None]
    return hidden


def measure_deletion(
    predict: Callable[[BoolArray], FloatArray],
    rankings: Mapping[str, FloatArray],
    is_real: BoolArray,
    *,
    labels: FloatArray | None,
    hidden_by: str,
    seed: int,
    num_orders: int = 5,
) -> DeletionCurves:
    """Measure the change of the scores for increasing numbers of hidden steps.

    Steps are hidden in the order of each ranking, in the reverse order, and in random orders.

    Args:
        predict: Function: mask of hidden steps (N, T) -> scores (N, K).
        rankings: Ranking -> importance of each step, shape (N, T).
        is_real: Mask of real steps, shape (N, T).
        labels: Annotated scores, shape (N, K). If None, the error is not measured.
        hidden_by: Description of how `predict` hides a step.
        seed: Random seed.
        num_orders: Number of random orders R.

    Reference: Samek et al., 2017 (doi:10.1109/TNNLS.2016.2599820), section III; Petsiuk et
        al., 2018 (arXiv:1806.07421), section 4.2, deletion.
    """
    num_points = min(is_real.shape[1] + 1, MAX_POINTS)
    shares = np.linspace(0.0, 1.0, num_points)
    # The first and last points are the same for every order.
    whole, empty = predict(np.zeros_like(is_real)), predict(is_real)

    def curve(ranking: FloatArray) -> list[FloatArray]:
        between = [predict(steps_to_hide(ranking, is_real, share)) for share in shares[1:-1]]
        return [whole, *between, empty]

    orders = {}
    for name, ranking in rankings.items():
        orders[f"{name}/top"] = [curve(ranking)]
        orders[f"{name}/bottom"] = [curve(-ranking)]
    orders["random"] = [
        curve(generator(seed, f"deletion/{order}").random(is_real.shape))
        for order in range(num_orders)
    ]

    def distances(origin: FloatArray | None) -> dict[str, FloatArray]:
        """Return order -> mean absolute difference between scores and `origin`, shape (R, P)."""
        if origin is None:
            return {}
        return {
            name: np.array(
                [[np.abs(scores - origin).mean() for scores in points] for points in curves]
            )
            for name, curves in orders.items()
        }

    return DeletionCurves(
        hidden_by=hidden_by,
        num_clips=len(is_real),
        hidden_share=shares,
        movement=distances(whole),
        error=distances(labels),
    )
