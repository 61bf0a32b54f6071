"""How the five traits go together: in the annotations, in the predictions, and the difference.

Shapes: N clips, K = 5 traits.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import number
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, draw_heatmap
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import Style, styled
from pipeline.figures.training.metric_correlation import correlation_matrix
from pipeline.metrics.regression import as_columns

_MIN_CLIPS: Final = 3
_PALE_BELOW: Final = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitCorrelations:
    """Correlations between the traits; NaN where a trait does not vary."""

    true: FloatArray
    """Of the annotated scores, shape (K, K)."""
    predicted: FloatArray
    """Of the predicted scores, shape (K, K)."""
    num_clips: int
    """Clips behind them."""
    split: str
    """Name of their split."""

    @property
    def difference(self) -> FloatArray:
        """Predicted minus true; positive where the model ties traits more than people do."""
        return self.predicted - self.true


def trait_correlations_data(
    y_true: FloatArray, y_pred: FloatArray, split: str = ""
) -> TraitCorrelations:
    """Return the correlations between the traits, annotated and predicted.

    Args:
        y_true: Annotated scores, shape (N, 5), in OCEAN order.
        y_pred: Predicted scores, shape (N, 5).
        split: Name of the clips' split.
    """
    true, pred = as_columns(y_true, y_pred)
    if len(true) < _MIN_CLIPS:
        raise NothingToDraw(
            f"a correlation needs at least {_MIN_CLIPS} clips; there are {len(true)}."
        )
    return TraitCorrelations(
        true=correlation_matrix(true.T),
        predicted=correlation_matrix(pred.T),
        num_clips=len(true),
        split=split,
    )


@styled
def draw_trait_correlations(data: TraitCorrelations, style: Style) -> Figure:
    """Draw the three matrices."""
    figure, panels = build_panels(
        style,
        title=f"Correlation between the traits, {data.num_clips:,} {data.split} clips",
        columns=3,
        aspect=1.0,
        left=3.0,
        bottom=3.0,
        right=1.0,
    )
    headings = ("annotated", "predicted", "predicted − annotated")
    letters = [trait[0].upper() for trait in TRAITS]
    matrices = (data.true, data.predicted, data.difference)
    # Differences are small beside correlations; below a quarter they need not shout.
    limits = (1.0, 1.0, max(_PALE_BELOW, float(np.nanmax(np.abs(data.difference), initial=0.0))))
    for axes, heading, values, limit in zip(panels, headings, matrices, limits, strict=True):
        draw_heatmap(axes, values, rows=letters, columns=letters, limit=limit)
        axes.tick_params(axis="x", rotation=0)
        axes.set_title(heading)
    return figure


def describe_trait_correlations(data: TraitCorrelations) -> str:
    """Return the largest difference in one sentence."""
    difference = np.where(np.tri(len(TRAITS), k=-1) > 0, data.difference, np.nan)
    if not np.isfinite(difference).any():
        return "No two traits vary in truth and prediction, so no correlations are shown."
    row, column = np.unravel_index(np.nanargmax(np.abs(difference)), difference.shape)
    return (
        f"Mean correlation between the traits: {number(_off_diagonal_mean(data.true))} annotated, "
        f"{number(_off_diagonal_mean(data.predicted))} predicted; the largest difference, "
        f"{number(float(difference[row, column]))}, is between {TRAITS[row]} and {TRAITS[column]}."
    )


def _off_diagonal_mean(matrix: FloatArray) -> float:
    return float(np.nanmean(matrix[np.tril_indices(len(matrix), k=-1)]))


FIGURES: Final = (
    FigureSpec(
        name="trait_correlations",
        folder="training_visualizations",
        title="Correlation between the traits",
        caption=(
            "Pearson correlation between the traits in the annotations, in the predictions, and "
            "the difference. Red cells on the right: the model ties two traits together more "
            "than people do. Empty cells: a trait that does not vary."
        ),
        needs=("y_true", "y_pred"),
        uses=("split",),
        data=trait_correlations_data,
        draw=draw_trait_correlations,
        alt_text=describe_trait_correlations,
    ),
)
"""The matrices of traits."""
