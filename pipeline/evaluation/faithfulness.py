"""Is attention faithful: do the scores move most when the steps it ranks highest are hidden?

Shapes: N clips, T steps, K traits, P points of a curve, R draws.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.core.seeds import generator
from pipeline.records.attention import DeletionCurves

Predict: TypeAlias = Callable[[BoolArray], FloatArray]
"""Hidden steps (N, T) -> scores (N, K)."""

MAX_POINTS: Final = 11
"""Points of a curve at the most, both ends included."""


def steps_to_hide(ranking: FloatArray, is_real: BoolArray, share: float) -> BoolArray:
    """Return the highest ranked steps of each clip, as many as make up `share` of its real ones.

    Args:
        ranking: Larger is hidden earlier, shape (N, T); of equals, the earlier step goes first.
        is_real: True where a step is real, shape (N, T); padding is never hidden.
        share: Share of the real steps, in [0, 1]; rounded to whole steps of each clip.

    Returns:
        True where a step is hidden, shape (N, T).
    """
    order = np.argsort(np.where(is_real, -ranking, np.inf), axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    num_hidden = np.floor(share * is_real.sum(axis=1) + 0.5)  # `round` rounds halves to even
    hidden: BoolArray = place < num_hidden[:, None]
    return hidden


def measure_deletion(
    predict: Predict,
    rankings: Mapping[str, FloatArray],
    is_real: BoolArray,
    *,
    labels: FloatArray | None,
    hidden_by: str,
    seed: int,
    num_draws: int = 5,
) -> DeletionCurves:
    """Hide more and more steps, in the order of each ranking, backwards, and at random.

    Args:
        predict: Predicts the clips with steps hidden.
        rankings: Scores of the steps by ranking, larger is more important, shape (N, T).
        is_real: True where a step is real, shape (N, T).
        labels: Annotated scores, shape (N, K); None leaves the error out.
        hidden_by: How `predict` hides a step, for the record.
        seed: Seed of the experiment.
        num_draws: Random orders R.

    Reference: Samek et al., 2017 (doi:10.1109/TNNLS.2016.2599820), section III; Petsiuk et
        al., 2018 (arXiv:1806.07421), section 4.2, deletion.
    """
    num_points = min(is_real.shape[1] + 1, MAX_POINTS)
    shares = np.linspace(0.0, 1.0, num_points)
    hide_nothing, hide_all = np.zeros_like(is_real), is_real
    # Both ends are the same for every order.
    whole, empty = predict(hide_nothing), predict(hide_all)

    def curve(ranking: FloatArray) -> list[FloatArray]:
        between = [predict(steps_to_hide(ranking, is_real, share)) for share in shares[1:-1]]
        return [whole, *between, empty]

    orders = {}
    for name, ranking in rankings.items():
        orders[f"{name}/top"] = [curve(ranking)]
        orders[f"{name}/bottom"] = [curve(-ranking)]
    orders["random"] = [curve(_random_ranking(is_real, seed, draw)) for draw in range(num_draws)]
    return DeletionCurves(
        hidden_by=hidden_by,
        num_clips=len(is_real),
        hidden_share=shares,
        movement={name: _distances(curves, whole) for name, curves in orders.items()},
        error=(
            {}
            if labels is None
            else {name: _distances(curves, labels) for name, curves in orders.items()}
        ),
    )


def _random_ranking(is_real: BoolArray, seed: int, draw: int) -> FloatArray:
    return generator(seed, f"deletion/{draw}").random(is_real.shape)


def _distances(curves: list[list[FloatArray]], origin: FloatArray) -> FloatArray:
    """Return the mean absolute distance of every point from `origin`, shape (R, P)."""
    return np.array([[np.abs(scores - origin).mean() for scores in curve] for curve in curves])
