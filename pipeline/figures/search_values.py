"""Which part of an objective's values a figure shows, and how it tells of the others.

One trial that diverged must not press all others onto one line: values far beyond the better
half of the trials are drawn at the edge, as triangles, and told in words.

Shapes: N values.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from pipeline.core.arrays import BoolArray, FloatArray
from pipeline.figures.layout import set_ticks
from pipeline.figures.search_study import Objective
from pipeline.figures.style import WARNING_COLOUR
from pipeline.figures.wording import count, number

_REACH: Final = 20
"""A value is far beyond where it is so many times as far from the best as the better half is."""

_DIVERGED: Final = 10
"""The better half has diverged trials in it where it reaches so many times as far as a third."""

_WORTH: Final = 2.0
"""Values are cut off only where that makes the rest at least so many times as large."""

_LARGE: Final = 10_000
"""Values from which ticks are written with k and M."""

_EDGE: Final = 0.06
"""Part of an axis that stays free on either side of the values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownRange:
    """The values that an axis or a colour scale shows."""

    low: float
    """Lowest value that is shown."""
    high: float
    """Highest value that is shown."""
    num_beyond: int
    """Values that are worse than what is shown."""
    worst: float
    """The worst value of all."""
    is_maximised: bool
    """Whether the low values are the worse ones."""

    def beyond(self, values: FloatArray) -> BoolArray:
        """Return which values are worse than what is shown, shape (N,)."""
        mask: BoolArray = values < self.low if self.is_maximised else values > self.high
        return mask

    def clipped(self, values: FloatArray) -> FloatArray:
        """Return values with those that are beyond moved to the edge, shape (N,)."""
        clipped: FloatArray = np.clip(values, self.low, self.high)
        return clipped

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of an axis, with room on both sides."""
        room = _EDGE * (self.high - self.low) or 0.05 * abs(self.high) or 0.05
        return self.low - room, self.high + room

    @property
    def remark(self) -> str:
        """What is beyond the edge, in words; empty where nothing is."""
        if not self.num_beyond:
            return ""
        sign, way = ("▼", "down to") if self.is_maximised else ("▲", "up to")
        return f"{sign} {count(self.num_beyond, 'value')} off the scale, {way} {number(self.worst)}"


def shown_range(values: FloatArray, objective: Objective) -> ShownRange:
    """Return the part of the values of an objective that is worth a scale.

    Args:
        values: Values of any shape; those that are not finite do not count, one must be.
        objective: What they are values of.
    """
    finite = values[np.isfinite(values)]
    # Distances to the best value: small is good, whichever way the objective goes.
    best = finite.max() if objective.is_maximised else finite.min()
    distances = np.abs(finite - best)
    reach = _REACH * _typical(distances)
    is_cut = distances > reach
    if distances.max() <= _WORTH * reach:
        is_cut[:] = False
    shown = finite[~is_cut]
    return ShownRange(
        low=float(shown.min()),
        high=float(shown.max()),
        num_beyond=int(is_cut.sum()),
        worst=float(finite.min() if objective.is_maximised else finite.max()),
        is_maximised=objective.is_maximised,
    )


def set_value_axis(
    axes: Axes, shown: ShownRange, objective: Objective, *, is_vertical: bool = True
) -> None:
    """Give a panel the axis of an objective: its ends, its ticks, its label."""
    set_ticks(axes)
    axis = axes.yaxis if is_vertical else axes.xaxis
    if shown.high >= _LARGE:
        axis.set_major_formatter(EngFormatter(sep=""))
    if is_vertical:
        axes.set_ylim(*shown.limits)
        axes.set_ylabel(objective.label)
    else:
        axes.set_xlim(*shown.limits)
        axes.set_xlabel(objective.label)


def mark_beyond(axes: Axes, places: FloatArray, values: FloatArray, shown: ShownRange) -> None:
    """Mark the values that are off the scale at the edge of a panel."""
    beyond = shown.beyond(values)
    edge = shown.limits[0] if shown.is_maximised else shown.limits[1]
    axes.plot(
        places[beyond],
        np.full(int(beyond.sum()), edge),
        "v" if shown.is_maximised else "^",
        color=WARNING_COLOUR,
        markersize=7,
        clip_on=False,
        zorder=4,
    )


def _typical(distances: FloatArray) -> float:
    """Return how far from the best the better half reaches; more where these are all equal.

    Where more than half diverged, what the better third says counts instead.
    """
    third, half = (float(np.quantile(distances, share, method="lower")) for share in (1 / 3, 1 / 2))
    positive = distances[distances > 0]
    nearest = float(positive.min()) if positive.size else 0.0
    return min(half, _DIVERGED * third) or half or nearest
