"""Each trait over the epochs, and the five traits side by side.

Shapes: E epochs, K = 5 traits.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, metric_value, number
from pipeline.core.traits import TRAITS
from pipeline.figures.base.curve_data import Curve, read_curve
from pipeline.figures.base.layout import build_panels, hide_panel, line_handle, name_rows
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, TRAIT_COLOURS, Style, styled
from pipeline.figures.training.curves import curve_handles, draw_curve
from pipeline.records.metrics_history import MetricsHistory

SHOWN_METRICS: Final = ("mae", "r2", "pcc", "ccc")
"""Metrics of a trait that are drawn; accuracy is 1 - MAE, and R² is MSE on a scale."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitMetrics:
    """One trait over the epochs."""

    trait: str
    """Name of the trait."""
    curves: Mapping[str, Curve]
    """Metric -> the trait's curve; only the metrics that the history has."""
    means: Mapping[str, FloatArray]
    """Metric -> mean over the five traits on the curve's decisive side, shape (E,)."""

    @property
    def is_constant(self) -> bool:
        """Whether no correlation was ever measured: truth or prediction does not vary."""
        curves = [self.curves[metric] for metric in ("pcc", "ccc") if metric in self.curves]
        return bool(curves) and all((curve.decisive == 0).all() for curve in curves)


def trait_metrics_data(history: MetricsHistory, trait: str) -> TraitMetrics:
    """Return the metrics of one trait over the epochs.

    Args:
        history: The history of the run.
        trait: Name of the trait.
    """
    curves, means = {}, {}
    for metric in SHOWN_METRICS:
        try:
            curves[metric] = read_curve(history, metric, trait)
            means[metric] = read_curve(history, metric).decisive
        except NothingToDraw:
            continue
    if not curves:
        raise NothingToDraw(f"the history holds no metric of {trait}.")
    return TraitMetrics(trait=trait, curves=curves, means=means)


@styled
def draw_trait_metrics(data: TraitMetrics, style: Style) -> Figure:
    """Draw the metrics of one trait."""
    colour = TRAIT_COLOURS[data.trait]
    first = next(iter(data.curves.values()))
    handles = curve_handles(first, colour=colour)
    figure, panels = build_panels(
        style,
        title=f"{data.trait.capitalize()} over the epochs",
        rows=2,
        columns=2,
        aspect=0.5,
        legend=[*handles, line_handle(f"mean of the traits, {first.side}", MUTED)],
    )
    for axes, metric in zip(panels, SHOWN_METRICS, strict=True):
        if metric not in data.curves:
            hide_panel(axes)
            continue
        axes.plot(first.epochs, data.means[metric], color=MUTED, alpha=0.7, zorder=1)
        draw_curve(axes, data.curves[metric], colour=colour)
        axes.set_ylabel(METRIC_LABELS[metric])
        if data.is_constant and metric in {"pcc", "ccc"}:
            _note(axes, "the truth or the prediction\ndoes not vary")
    for axes in panels[2:]:
        axes.set_xlabel("epoch")
    return figure


def describe_trait_metrics(data: TraitMetrics) -> str:
    """Return the metrics of one trait in one sentence."""
    best = ", ".join(
        f"{METRIC_NAMES[metric]} {curve.best_text} in epoch {curve.best_epoch}"
        for metric, curve in data.curves.items()
        if curve.best is not None and not curve.is_flat
    )
    side = next(iter(data.curves.values())).side
    constant = "; its truth or its prediction does not vary" if data.is_constant else ""
    return f"Best {side} values of {data.trait}: {best}{constant}."


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitComparison:
    """The five traits side by side, in one epoch."""

    epoch: int
    """The epoch with the best mean MAE, on the decisive side."""
    side: str
    """The decisive side: validation, or training where there is no validation."""
    validation: Mapping[str, FloatArray]
    """Metric -> value of each trait on the validation clips, shape (K,); NaN where unknown."""
    train: Mapping[str, FloatArray]
    """Metric -> value of each trait on the training clips, shape (K,); NaN where unknown."""

    @property
    def values(self) -> Mapping[str, FloatArray]:
        """The values on the decisive side."""
        return self.validation if self.side == "validation" else self.train


def trait_comparison_data(history: MetricsHistory) -> TraitComparison:
    """Return the metrics of the five traits in the epoch with the best mean MAE.

    Args:
        history: The history of the run.
    """
    reference = read_curve(history, "mae")
    best = reference.best
    if best is None:
        raise NothingToDraw("no epoch has a finite MAE.")
    curves = {m: [read_curve(history, m, trait) for trait in TRAITS] for m in SHOWN_METRICS}
    return TraitComparison(
        epoch=int(reference.epochs[best]),
        side=reference.side,
        validation={m: _values_at(best, [c.validation for c in curves[m]]) for m in SHOWN_METRICS},
        train={m: _values_at(best, [c.train for c in curves[m]]) for m in SHOWN_METRICS},
    )


@styled
def draw_trait_comparison(data: TraitComparison, style: Style) -> Figure:
    """Draw the five traits side by side."""
    handles = [line_handle(data.side, "#444444", "none", "s")]
    if data.side == "validation":
        handles.append(line_handle("training", "#444444", "none", "|"))
    figure, panels = build_panels(
        style,
        title=f"The five traits in epoch {data.epoch}, the best by {data.side} MAE",
        rows=2,
        columns=2,
        aspect=0.42,
        outer_left=8.0,
        left=1.8,
        right=5.0,
        bottom=3.6,
        legend=handles,
    )
    for axes, metric in zip(panels, SHOWN_METRICS, strict=True):
        _draw_bars(axes, data, metric)
    for axes in panels[1::2]:
        axes.tick_params(axis="y", labelleft=False)
    return figure


def describe_trait_comparison(data: TraitComparison) -> str:
    """Return the five traits in one sentence."""
    maes = ", ".join(
        f"{trait} {metric_value('mae', mae)} (CCC {metric_value('ccc', ccc)})"
        for trait, mae, ccc in zip(TRAITS, data.values["mae"], data.values["ccc"], strict=True)
    )
    return f"In epoch {data.epoch} the {data.side} MAE is {maes}."


def _values_at(position: int, sides: list[FloatArray | None]) -> FloatArray:
    return np.array([np.nan if side is None else side[position] for side in sides])


def _draw_bars(axes: Axes, data: TraitComparison, metric: str) -> None:
    rows = np.arange(len(TRAITS))
    colours = [TRAIT_COLOURS[trait] for trait in TRAITS]
    axes.barh(rows, np.nan_to_num(data.values[metric]), height=0.62, color=colours)
    if data.side == "validation":
        axes.plot(data.train[metric], rows, "|", color="#222222", markersize=11, mew=1.6)
    name_rows(axes, TRAITS)
    axes.axvline(0, color="#666666", linewidth=0.8)
    beside = axes.get_yaxis_transform()
    for row, value in enumerate(data.values[metric]):
        axes.text(1.02, row, _beside(metric, value), transform=beside, va="center", color="#444444")
    axes.set_xlabel(METRIC_LABELS[metric])


def _beside(metric: str, value: float) -> str:
    """Return a value with at most seven characters, the space beside a bar."""
    if not np.isfinite(value):
        return "–"
    text = metric_value(metric, value)
    return text if len(text) <= 7 else number(value)


def _note(axes: Axes, text: str) -> None:
    # The mean of the other traits may run behind it.
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.4, text, color="#555555", bbox=paper, **place)


def _trait_spec(trait: str) -> FigureSpec:
    return FigureSpec(
        name=f"trait_{trait.capitalize()}_metrics",
        folder="training_visualizations",
        title=f"{trait.capitalize()} over the epochs",
        caption=(
            f"Error and agreement of {trait} on the training clips (dashed) and on the "
            "validation clips (solid), with the mean over the five traits in grey. The ring "
            "marks the best epoch of each metric."
        ),
        needs=("history",),
        data=functools.partial(trait_metrics_data, trait=trait),
        draw=draw_trait_metrics,
        alt_text=describe_trait_metrics,
    )


FIGURES: Final = (
    *map(_trait_spec, TRAITS),
    FigureSpec(
        name="trait_comparison",
        folder="training_visualizations",
        title="The five traits side by side",
        caption=(
            "Error and agreement of each trait in the epoch with the best mean MAE: validation "
            "as bars, training as ticks. Higher is better, but for MAE."
        ),
        needs=("history",),
        data=trait_comparison_data,
        draw=draw_trait_comparison,
        alt_text=describe_trait_comparison,
    ),
)
"""One figure a trait, and their comparison."""
