"""Figures of loss and metrics over the epochs: per trait, and averaged over the traits.

Shapes: E epochs, K traits.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES, metric_value, number
from pipeline.figures.base.curves import (
    Curve,
    curve_handles,
    describe_curve,
    draw_curve,
    epoch_marker,
    read_curve,
    read_curves,
    saved_epoch_handles,
    set_epoch_axis,
)
from pipeline.figures.base.layout import (
    build_panels,
    hide_panel,
    line_handle,
    name_rows,
    names_em,
    set_value_axis,
    write_centred,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, Style, trait_colours
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.metrics_history import MetricsHistory

TRAIT_METRICS: Final = ("mae", "r2", "pcc", "ccc")
"""Metrics in the trait figures.

Accuracy and MSE are omitted, because accuracy is 1 - MAE, and R² is calculated from the MSE.
"""


def _draw_train_val(curve: Curve, style: Style) -> Figure:
    figure, (axes,) = build_panels(
        style,
        title=f"{_heading(curve.metric)} over the epochs",
        sample=curve.sample,
        width="column",
        legend=curve_handles(curve),
    )
    draw_curve(axes, curve)
    return figure


@dataclass(frozen=True, kw_only=True, eq=False)
class AllTraitMetrics:
    """Metrics of all traits over the epochs."""

    trait_names: tuple[str, ...]
    curves: Mapping[str, Mapping[str, Curve]]
    """Metric -> trait -> curve, for each metric in the history."""


def _all_trait_metrics_data(
    history: MetricsHistory, trait_names: Sequence[str], best_epoch: int | None = None
) -> AllTraitMetrics:
    curves = {
        metric: read_curves(
            history, {trait: (metric, trait) for trait in trait_names}, best_epoch=best_epoch
        )
        for metric in TRAIT_METRICS
    }
    curves = {metric: by_trait for metric, by_trait in curves.items() if by_trait}
    if not curves:
        raise NothingToDraw("the history contains no metrics of the traits.")
    return AllTraitMetrics(trait_names=tuple(trait_names), curves=curves)


def _draw_all_trait_metrics(data: AllTraitMetrics, style: Style) -> Figure:
    first = next(iter(next(iter(data.curves.values())).values()))
    colours = dict(zip(data.trait_names, trait_colours(data.trait_names), strict=True))
    handles = [line_handle(trait, colour) for trait, colour in colours.items()]
    figure, panels = build_panels(
        style,
        title="Traits over the epochs",
        sample=f"{first.subset} clips",
        num_panels=len(data.curves),
        columns=2,
        aspect=0.45,
        legend=[*handles, *saved_epoch_handles(first)],
    )
    for axes, (metric, by_trait) in zip(panels, data.curves.items(), strict=True):
        marker = epoch_marker(first.epochs)
        for trait, curve in by_trait.items():
            axes.plot(curve.epochs, curve.values, color=colours[trait], marker=marker)
        if first.saved is not None:
            axes.axvline(first.epochs[first.saved], color=MUTED, linestyle=":", zorder=1)
        set_epoch_axis(axes, first.epochs)
        set_value_axis(axes, METRIC_LABELS[metric], is_log=False)
    for axes in panels[: len(panels) - 2]:
        axes.set_xlabel("")
    return figure


def _describe_all_trait_metrics(data: AllTraitMetrics) -> str:
    metric = "ccc" if "ccc" in data.curves else next(iter(data.curves))
    curves = data.curves[metric]
    first = next(iter(curves.values()))
    last = ", ".join(
        f"{trait} {metric_value(metric, curve.values[-1])}" for trait, curve in curves.items()
    )
    return f"The {first.subset} {METRIC_NAMES[metric]} in epoch {first.epochs[-1]}: {last}."


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitMetrics:
    """Metrics of one trait over the epochs."""

    trait: str
    colour: str
    curves: Mapping[str, Curve]
    """Metric -> curve of the trait, for each metric in the history."""
    means: Mapping[str, FloatArray]
    """Metric -> mean over the traits, shape (E,), on the same subset as the values of the curve."""

    @property
    def is_constant(self) -> bool:
        """True if PCC and CCC are always 0, because annotations or predictions are constant."""
        curves = [self.curves[metric] for metric in ("pcc", "ccc") if metric in self.curves]
        return bool(curves) and all((curve.values == 0).all() for curve in curves)


def _trait_metrics_data(
    history: MetricsHistory, trait: str, colour: str, best_epoch: int | None = None
) -> TraitMetrics:
    names = {metric: (metric, trait) for metric in TRAIT_METRICS}
    curves = read_curves(history, names, best_epoch=best_epoch)
    means = read_curves(history, {metric: (metric, None) for metric in curves})
    if not means:
        raise NothingToDraw(f"the history contains no metric of {trait}.")
    return TraitMetrics(
        trait=trait,
        colour=colour,
        curves={metric: curves[metric] for metric in means},
        means={metric: curve.values for metric, curve in means.items()},
    )


def _draw_trait_metrics(data: TraitMetrics, style: Style) -> Figure:
    first = next(iter(data.curves.values()))
    handles = curve_handles(first, colour=data.colour)
    figure, panels = build_panels(
        style,
        title=f"{data.trait.capitalize()} over the epochs",
        sample=first.sample,
        num_panels=4,
        columns=2,
        aspect=0.5,
        legend=[*handles, line_handle(f"mean of the traits, {first.subset}", MUTED)],
    )
    for axes, metric in zip(panels, TRAIT_METRICS, strict=True):
        if metric not in data.curves:
            hide_panel(axes)
            continue
        axes.plot(first.epochs, data.means[metric], color=MUTED, alpha=0.7, zorder=1)
        draw_curve(axes, data.curves[metric], colour=data.colour)
        if data.is_constant and metric in {"pcc", "ccc"}:
            write_centred(axes, "annotations or predictions\nare constant")
    for axes in panels[:2]:
        axes.set_xlabel("")
    return figure


def _describe_trait_metrics(data: TraitMetrics) -> str:
    best = ", ".join(
        f"{METRIC_NAMES[metric]} {curve.best_text} in epoch {curve.best_epoch}"
        for metric, curve in data.curves.items()
        if curve.best is not None and not curve.is_flat
    )
    subset = next(iter(data.curves.values())).subset
    constant = "; annotations or predictions are constant" if data.is_constant else ""
    return f"Best {subset} values of {data.trait}: {best}{constant}."


@dataclass(frozen=True, kw_only=True, eq=False)
class TraitComparison:
    """Metrics of the traits in one epoch."""

    trait_names: tuple[str, ...]
    epoch: int
    """Epoch of the saved model. If it is unknown or 0, epoch with the lowest mean MAE."""
    subset: str
    """Subset on which this MAE was measured: `validation`, or `training` if there is none."""
    values: Mapping[str, FloatArray]
    """Metric -> values on `subset`, shape (K,)."""
    train: Mapping[str, FloatArray]
    """Metric -> values on the training clips, shape (K,); NaN if unknown."""


def _trait_comparison_data(
    history: MetricsHistory, trait_names: Sequence[str], best_epoch: int | None = None
) -> TraitComparison:
    reference = read_curve(history, "mae", best_epoch=best_epoch)
    best = reference.best if reference.saved is None else reference.saved
    if best is None:
        raise NothingToDraw("no epoch has a finite MAE.")
    curves = {m: [read_curve(history, m, trait) for trait in trait_names] for m in TRAIT_METRICS}
    return TraitComparison(
        trait_names=tuple(trait_names),
        epoch=int(reference.epochs[best]),
        subset=reference.subset,
        values={m: np.array([curve.values[best] for curve in curves[m]]) for m in TRAIT_METRICS},
        train={
            m: np.array(
                [np.nan if curve.train is None else curve.train[best] for curve in curves[m]]
            )
            for m in TRAIT_METRICS
        },
    )


def _draw_trait_comparison(data: TraitComparison, style: Style) -> Figure:
    handles = [line_handle(data.subset, "#444444", "none", "s")]
    if data.subset == "validation":
        handles.append(line_handle("training", "#444444", "none", "|"))
    figure, panels = build_panels(
        style,
        title=f"Traits in epoch {data.epoch}",
        sample=f"{data.subset} clips",
        num_panels=4,
        columns=2,
        aspect=0.42,
        outer_left=names_em(data.trait_names) - 1.0,
        left=1.8,
        right=5.0,
        bottom=3.6,
        legend=handles,
    )
    rows = np.arange(len(data.trait_names))
    colours = trait_colours(data.trait_names)
    for axes, metric in zip(panels, TRAIT_METRICS, strict=True):
        axes.barh(rows, np.nan_to_num(data.values[metric]), height=0.62, color=colours)
        if data.subset == "validation":
            axes.plot(data.train[metric], rows, "|", color="#222222", markersize=11, mew=1.6)
        name_rows(axes, data.trait_names)
        axes.axvline(0, color="#666666", linewidth=0.8)
        right_of_axes = axes.get_yaxis_transform()
        for row, value in enumerate(data.values[metric]):
            text = _short_value(metric, value)
            axes.text(1.02, row, text, transform=right_of_axes, va="center", color="#444444")
        axes.set_xlabel(METRIC_LABELS[metric])
    for axes in panels[1::2]:
        axes.tick_params(axis="y", labelleft=False)
    return figure


def _describe_trait_comparison(data: TraitComparison) -> str:
    maes = ", ".join(
        f"{trait} {metric_value('mae', mae)} (CCC {metric_value('ccc', ccc)})"
        for trait, mae, ccc in zip(
            data.trait_names, data.values["mae"], data.values["ccc"], strict=True
        )
    )
    return f"The {data.subset} MAE in epoch {data.epoch}: {maes}."


def _short_value(metric: str, value: float) -> str:
    """Return a value as text that fits beside a bar, with at most seven characters."""
    if not np.isfinite(value):
        return "–"
    text = metric_value(metric, value)
    return text if len(text) <= 7 else number(value)


def _heading(metric: str) -> str:
    name = METRIC_NAMES[metric]
    return name[0].upper() + name[1:]


def _metric_spec(name: str, metric: str) -> FigureSpec:
    better = "Higher" if HIGHER_IS_BETTER.get(metric) else "Lower"
    return FigureSpec(
        name=name,
        title=f"{_heading(metric)} over the epochs",
        caption=(
            f"{_heading(metric)} on the training clips (dashed, measured during training) and on "
            f"the validation clips (solid). {better} is better. The dotted line and the number "
            "show the epoch of the saved model."
        ),
        data=functools.partial(read_curve, metric=metric),
        draw=_draw_train_val,
        alt_text=describe_curve,
    )


def _trait_spec(trait: str, colour: str) -> FigureSpec:
    return FigureSpec(
        name=f"trait_{trait.capitalize()}_metrics",
        title=f"{trait.capitalize()} over the epochs",
        caption=(
            f"Metrics of {trait} on the training clips (dashed) and on the validation clips "
            "(solid). The grey line is the mean over the traits. The dotted line and the number "
            "show the epoch of the saved model."
        ),
        data=functools.partial(_trait_metrics_data, trait=trait, colour=colour),
        draw=_draw_trait_metrics,
        alt_text=_describe_trait_metrics,
    )


METRIC_FIGURES: Final = (
    _metric_spec("train_val_loss", "loss"),
    _metric_spec("train_val_accuracy", "accuracy"),
    _metric_spec("train_val_mae", "mae"),
    _metric_spec("train_val_mse", "mse"),
    _metric_spec("train_val_r_squared", "r2"),
    _metric_spec("train_val_pcc", "pcc"),
    _metric_spec("train_val_ccc", "ccc"),
)

_ALL_TRAITS: Final = FigureSpec(
    name="trait_metrics",
    title="Traits over the epochs",
    caption=(
        "Metrics of each trait on the validation clips. Lower is better for the MAE, higher for "
        "the other metrics. The dotted line shows the epoch of the saved model."
    ),
    data=_all_trait_metrics_data,
    draw=_draw_all_trait_metrics,
    alt_text=_describe_all_trait_metrics,
)

_TRAIT_COMPARISON: Final = FigureSpec(
    name="trait_comparison",
    title="Traits side by side",
    caption=(
        "Metrics of each trait in the epoch of the saved model. If the saved model is from before "
        "epoch 1, the epoch has the lowest mean MAE. Bars show validation, "
        "ticks show training. Lower is better for the MAE, higher for the other metrics."
    ),
    data=_trait_comparison_data,
    draw=_draw_trait_comparison,
    alt_text=_describe_trait_comparison,
)


def trait_figures(trait_names: Sequence[str]) -> tuple[FigureSpec, ...]:
    """Return the figures of all traits, and one figure per trait."""
    colours = trait_colours(trait_names)
    return (_ALL_TRAITS, *map(_trait_spec, trait_names, colours), _TRAIT_COMPARISON)
