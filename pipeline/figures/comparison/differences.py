"""Two runs side by side: what they differ in, and how sure that is.

Shapes: R rows, the mean over the traits and the five traits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import PipelineError
from pipeline.core.number_format import METRIC_NAMES, count, metric_differences, percent
from pipeline.core.traits import TRAITS
from pipeline.figures.base.layout import build_panels, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec, registry
from pipeline.figures.base.style import MUTED, Style, styled
from pipeline.figures.comparison import curves as comparison_curves
from pipeline.figures.comparison import scores as comparison_scores
from pipeline.figures.comparison.pair import COLOURS, pair_handles, read_names
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS

ROWS: Final = ("mean", *TRAITS)
"""What is compared, from top to bottom."""

_UNDECIDED: Final = "#444444"
_MARGIN: Final = 1.15


@dataclass(frozen=True, kw_only=True, eq=False)
class MetricDifferences:
    """The second run minus the first, in every metric."""

    names: tuple[str, str]
    """What the two runs are called."""
    value: Mapping[str, FloatArray]
    """Metric -> difference in each row, shape (R,)."""
    low: Mapping[str, FloatArray]
    """Metric -> lower ends of the paired intervals, shape (R,); NaN where there is none."""
    high: Mapping[str, FloatArray]
    """Metric -> upper ends of the paired intervals, shape (R,); NaN where there is none."""
    num_clips: int
    """Clips that both were scored on."""
    num_groups: int
    """Groups that were resampled."""
    confidence: float
    """Share of the resamples that an interval holds."""

    def winners(self, metric: str) -> tuple[int | None, ...]:
        """Return which run each row favours: 0, 1, or None where its interval holds 0."""
        sign = 1 if HIGHER_IS_BETTER[metric] else -1
        return tuple(
            int(sign * low > 0) if low > 0 or high < 0 else None
            for low, high in zip(self.low[metric], self.high[metric], strict=True)
        )

    def limit(self, metric: str) -> float:
        """Return how far the axis of a metric reaches to both sides of 0."""
        ends = np.concatenate([self.value[metric], self.low[metric], self.high[metric]])
        return _MARGIN * float(np.nanmax(np.abs(ends))) or 1.0


def metric_differences_data(comparison: Mapping[str, Any]) -> MetricDifferences:
    """Return the differences that a comparison has measured.

    Args:
        comparison: Content of `Comparison.to_json()`.

    Raises:
        PipelineError: If it is not a comparison.
    """
    names = read_names(comparison)
    try:
        differences = comparison["differences"]
        return MetricDifferences(
            names=names,
            value=_ends(differences, "value"),
            low=_ends(differences, "low"),
            high=_ends(differences, "high"),
            num_clips=int(comparison["num_clips"]),
            num_groups=int(comparison["num_groups"]),
            confidence=float(comparison["confidence"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"comparison: is not the comparison of two runs ({type(error).__name__}: {error}). "
            "Compare the runs again."
        ) from error


@styled
def draw_metric_differences(data: MetricDifferences, style: Style) -> Figure:
    """Draw the differences as intervals around zero, one panel a metric."""
    figure, panels = build_panels(
        style,
        title=(
            f"Difference between two runs, {count(data.num_clips, 'clip')} of "
            f"{count(data.num_groups, 'group')}"
        ),
        rows=2,
        columns=3,
        aspect=0.72,
        outer_left=9.0,
        left=1.2,
        right=1.2,
        bottom=4.2,
        top=2.4,
        legend=[
            *pair_handles(data.names, linestyle="-", marker="o"),
            line_handle(f"{percent(data.confidence)} interval holds 0", _UNDECIDED, "-", "o"),
        ],
    )
    for position, (axes, metric) in enumerate(zip(panels, METRICS, strict=True)):
        _draw_panel(axes, data, metric)
        name_rows(axes, ROWS if position % 3 == 0 else [""] * len(ROWS))
        _centre_on_zero(axes, data.limit(metric))
    return figure


def describe_metric_differences(data: MetricDifferences) -> str:
    """Return the differences of the means in one sentence."""
    parts = []
    for metric in METRICS:
        winner = data.winners(metric)[0]
        verdict = "undecided" if winner is None else f"{'AB'[winner]} is better"
        (difference,) = metric_differences(metric, data.value[metric][0])
        parts.append(f"{METRIC_NAMES[metric]} {difference} ({verdict})")
    return (
        f"B ({data.names[1]}) minus A ({data.names[0]}) on {count(data.num_clips, 'clip')}, mean "
        f"over the traits: {', '.join(parts)}."
    )


def comparison_figures() -> dict[str, FigureSpec]:
    """Return the figures of a comparison, by name and in order."""
    return registry(*FIGURES, *comparison_scores.FIGURES, *comparison_curves.FIGURES)


def _ends(differences: Mapping[str, Any], end: str) -> dict[str, FloatArray]:
    return {
        metric: np.array([differences[metric][row][end] for row in ROWS], dtype=np.float64)
        for metric in METRICS
    }


def _draw_panel(axes: Axes, data: MetricDifferences, metric: str) -> None:
    rows = np.arange(len(ROWS))
    colours = [_UNDECIDED if winner is None else COLOURS[winner] for winner in data.winners(metric)]
    axes.axvline(0, color=MUTED, linewidth=1.0)
    axes.axhline(0.5, color=MUTED, linewidth=0.5)  # the mean is not one more trait
    axes.hlines(rows, data.low[metric], data.high[metric], colors=colours, linewidth=2.5)
    axes.scatter(data.value[metric], rows, c=colours, s=36, zorder=3)
    left, right = (0, 1) if HIGHER_IS_BETTER[metric] else (1, 0)
    axes.set_title(f"← {'AB'[left]} better", loc="left", color=COLOURS[left])
    axes.set_title(f"{'AB'[right]} better →", loc="right", color=COLOURS[right])
    axes.set_xlabel(f"{METRIC_NAMES[metric]}, B − A")


def _centre_on_zero(axes: Axes, limit: float) -> None:
    """Put 0 in the middle, between two ticks at the largest round number that fits."""
    power = 10 ** math.floor(math.log10(limit))
    tick = max(factor * power for factor in (0.5, 1, 2, 5) if factor * power <= 0.9 * limit)
    axes.set_xlim(-limit, limit)
    axes.set_xticks([-tick, 0, tick], [f"−{tick:g}", "0", f"+{tick:g}"])


FIGURES: Final = (
    FigureSpec(
        name="metric_differences",
        folder="comparison",
        title="Differences with intervals",
        caption=(
            "The second run minus the first, with the interval of the paired cluster bootstrap, "
            "on average and per trait. An interval that holds zero (dark grey) shows no "
            "difference; the others have the colour of the better run. The sides of each panel "
            "say which run is better there."
        ),
        needs=("comparison",),
        data=metric_differences_data,
        draw=draw_metric_differences,
        alt_text=describe_metric_differences,
    ),
)
"""The differences."""
