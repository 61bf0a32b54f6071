"""The value between the trials: a local mean over two parameters, only where trials are near.

Shapes: N trials, G and H cells along the two parameters.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.figures.search_parameter import Parameter

FEWEST_WEIGHTS: Final = 1.8
"""What the weights at a place must add up to: as much as three trials a bandwidth away."""

FEWEST_TRIALS: Final = 10
"""Trials below which there is no field at all."""

_NUM_CELLS: Final = 60
_SPREAD: Final = 0.29  # standard deviation of places that lie evenly along an axis


def bandwidth(num_trials: int) -> float:
    """Return the standard deviation of the kernel as a share of an axis: more trials, finer.

    Reference: Scott, 1992 (doi:10.1002/9780470316849), eq. 6.42 in two dimensions.
    """
    return float(_SPREAD * num_trials ** (-1 / 6))


def cell_shares(parameter: Parameter) -> FloatArray:
    """Return the edges of the cells as shares of the axis, shape (G + 1,); one cell a choice."""
    num_cells = len(parameter.choices) if parameter.is_choice else _NUM_CELLS
    return np.linspace(0.0, 1.0, num_cells + 1)


def local_mean(
    first: Parameter,
    second: Parameter,
    places: tuple[FloatArray, FloatArray],
    values: FloatArray,
) -> FloatArray:
    """Return the mean value of the trials around each cell, weighted by their distance.

    Distances are shares of the axes, logarithmic where an axis is. Between two choices there
    is no distance: a trial counts for its own one only.

    Args:
        first: Parameter along the columns.
        second: Parameter along the rows.
        places: Where the trials lie on both, each of shape (N,).
        values: Their values, shape (N,).

    Returns:
        Shape (H, G); NaN where the weights add up to less than `FEWEST_WEIGHTS`.

    Reference: Nadaraya, 1964 (doi:10.1137/1109020), eq. 1; Watson, 1964 (Sankhya A 26, 359),
    with a Gaussian kernel.
    """
    across, up = (
        _distances(parameter, place)
        for parameter, place in zip((first, second), places, strict=True)
    )
    weights = np.exp(-0.5 * (across[None, :, :] ** 2 + up[:, None, :] ** 2))  # (H, G, N)
    totals = weights.sum(axis=-1)
    means = np.full(totals.shape, np.nan)
    np.divide(weights @ values, totals, out=means, where=totals >= FEWEST_WEIGHTS)
    return means


def _distances(parameter: Parameter, places: FloatArray) -> FloatArray:
    """Return the distance of each cell's centre to each trial in bandwidths, shape (G, N)."""
    edges = cell_shares(parameter)
    centres = (edges[:-1] + edges[1:]) / 2
    distances: FloatArray = np.abs(centres[:, None] - parameter.scaled(places))
    if parameter.is_choice:
        return np.where(distances < 0.5 / len(parameter.choices), 0.0, np.inf)
    return distances / bandwidth(len(places))
