"""A matrix of correlations, drawn as one image with its numbers written in."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from pipeline.core.arrays import FloatArray
from pipeline.figures.style import DIVERGING


def draw_heatmap(
    axes: Axes,
    values: FloatArray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    is_wide: bool = False,
    limit: float = 1.0,
) -> None:
    """Draw a matrix of signed values, white at zero; cells that are NaN stay empty.

    Args:
        axes: The panel.
        values: The matrix, shape (rows, columns).
        rows: Names of the rows.
        columns: Names of the columns.
        is_wide: Whether the cells fill the panel instead of being square.
        limit: Value at which the colours are strongest, on both sides of zero.
    """
    colours = mpl.colormaps[DIVERGING]
    axes.imshow(
        values, cmap=colours, vmin=-limit, vmax=limit, aspect="auto" if is_wide else "equal"
    )
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xticks(
        range(len(columns)), list(columns), rotation=45, ha="right", rotation_mode="anchor"
    )
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            is_dark = abs(value) > 0.6 * limit
            colour = "white" if is_dark else "#222222"
            text = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
            axes.text(column, row, text, ha="center", va="center", color=colour, size="small")
