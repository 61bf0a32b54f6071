"""How much each parameter matters, by two measures.

Shapes: P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pipeline.core.arrays import FloatArray
from pipeline.figures.layout import build_panels, name_rows
from pipeline.figures.search_study import Study
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import ACCENTS, Style, styled
from pipeline.figures.wording import count, keeping_end, percent

MEASURES: Final[Mapping[str, str]] = {
    "ped_anova": "PED-ANOVA: for being among the best",
    "fanova": "fANOVA: for the value, over the whole space",
}
"""The measures, and what a parameter is important for by them."""

_SHORT: Final = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA"}
_MAX_NAME: Final = 38
_MAX_ROWS: Final = 20
_ROW_EM: Final = 2.5


@dataclass(frozen=True, kw_only=True, eq=False)
class ParameterImportances:
    """Shares of the parameters, the most important one first."""

    names: tuple[str, ...]
    """Names of the parameters that were measured, P of them."""
    shares: Mapping[str, FloatArray]
    """Measure -> shares in [0, 1], shape (P,); NaN for a parameter that it left out."""
    not_measured: tuple[str, ...]
    """Parameters that no measure could judge, e.g. because most trials do not have them."""
    num_trials: int
    """Complete trials that were measured on."""
    objective: str
    """What was measured: the first objective."""


def parameter_importances_data(study: Study) -> ParameterImportances:
    """Return the importance of each parameter.

    Raises:
        NothingToDraw: If none was computed, or there is only one parameter.
    """
    trials = study.require_complete()
    if len(study.parameters) < 2:
        raise NothingToDraw("needs two parameters: one alone is all that matters.")
    if not study.importances:
        reason = study.importances_note or "the search has not computed any."
        raise NothingToDraw(f"no importances: {reason}")
    ranked = [each.name for each in study.ranked_parameters]
    names = [name for name in ranked if study.importance(name) >= 0]
    return ParameterImportances(
        names=tuple(names),
        shares={
            measure: np.array([shares.get(name, np.nan) for name in names])
            for measure, shares in study.importances.items()
        },
        not_measured=tuple(name for name in ranked if name not in names),
        num_trials=len(trials),
        objective=study.objectives[0].short,
    )


@styled
def draw_parameter_importances(data: ParameterImportances, style: Style) -> Figure:
    """Draw the shares as bars, those of the measures in pairs."""
    num_rows = min(len(data.names), _MAX_ROWS)
    left, right = 20.5, 4.0
    width_em = style.full_width / style.em - left - right
    figure, (axes,) = build_panels(
        style,
        title=f"What matters for {data.objective}, {count(data.num_trials, 'complete trial')}",
        aspect=num_rows * _ROW_EM / width_em,
        left=left,
        right=right,
        top=1.0,
        bottom=5.4 if _remark(data) else 3.8,
        legend=[
            Patch(color=colour, label=MEASURES.get(measure, measure))
            for measure, colour in zip(data.shares, ACCENTS, strict=False)
        ],
    )
    _draw_bars(axes, data, num_rows)
    name_rows(axes, [keeping_end(name, _MAX_NAME) for name in data.names[:num_rows]])
    axes.set_xlim(0, 1.05 * max(float(np.nanmax(each)) for each in data.shares.values()) or 1.0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_xlabel("share of the importance")
    if _remark(data):
        height = figure.get_size_inches()[1]
        figure.text(0.012, 0.5 * style.em / height, _remark(data), color="#555555", size="small")
    return figure


def describe_parameter_importances(data: ParameterImportances) -> str:
    """Return the most important parameters of each measure in one sentence."""
    told = []
    for measure, shares in data.shares.items():
        ranks = np.argsort(-np.nan_to_num(shares))[:3]
        first = ", ".join(f"{data.names[rank]} {percent(float(shares[rank]))}" for rank in ranks)
        told.append(f"by {_SHORT.get(measure, measure)} {first}")
    return (
        f"What matters most for {data.objective} in {count(data.num_trials, 'complete trial')}: "
        f"{'; '.join(told)}."
    )


def _draw_bars(axes: Axes, data: ParameterImportances, num_rows: int) -> None:
    height = 0.78 / len(data.shares)
    for place, (shares, colour) in enumerate(zip(data.shares.values(), ACCENTS, strict=False)):
        rows = np.arange(num_rows) + (place - (len(data.shares) - 1) / 2) * height
        axes.barh(rows, np.nan_to_num(shares[:num_rows]), height=height, color=colour)
        for row, share in zip(rows, shares[:num_rows], strict=True):
            text = f" {percent(float(share))}" if np.isfinite(share) else " not measured"
            axes.text(np.nan_to_num(share), row, text, va="center", size="small", color="#444444")


def _remark(data: ParameterImportances) -> str:
    left_out = len(data.names) - _MAX_ROWS
    parts = [f"{count(left_out, 'less important parameter')} not shown"] if left_out > 0 else []
    if data.not_measured:
        shown = ", ".join(keeping_end(name, _MAX_NAME) for name in data.not_measured[:2])
        more = f" and {len(data.not_measured) - 2} more" if len(data.not_measured) > 2 else ""
        parts.append(f"not measured, as it is not set in every trial: {shown}{more}")
    return " · ".join(parts)


FIGURES: Final = (
    FigureSpec(
        name="parameter_importances",
        folder="search_visualizations",
        title="What matters",
        caption=(
            "The importance of each parameter for the first objective, by two measures that answer "
            "different questions: PED-ANOVA asks what sets the best trials apart from the others, "
            "fANOVA what the value varies with over the whole space, bad regions included. Where "
            "they disagree, a parameter matters for avoiding failure, not for being best. With few "
            "trials both are rough."
        ),
        needs=("study",),
        data=parameter_importances_data,
        draw=draw_parameter_importances,
        alt_text=describe_parameter_importances,
    ),
)
"""The importances."""
