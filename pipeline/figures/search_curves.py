"""The learning curves of the trials, and where those that were pruned ended.

Shapes: E reported epochs of one trial.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.figures.layout import build_panels, line_handle, set_ticks
from pipeline.figures.search_marks import (
    BEST_COLOUR,
    DEFAULT_COLOUR,
    STATE_COLOURS,
    STATE_LABELS,
    special_lines,
)
from pipeline.figures.search_study import Study, Trial
from pipeline.figures.search_values import ShownRange, mark_beyond, set_value_axis, shown_range
from pipeline.figures.spec import FigureSpec, NothingToDraw
from pipeline.figures.style import Style, styled
from pipeline.figures.wording import count, number

_END_MARKS: Final = {"pruned": "x", "failed": "X", "lost": "X"}
_MANY: Final = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialCurve:
    """What one trial has reported."""

    trial: Trial
    epochs: IntArray
    """Epochs after which it reported, shape (E,)."""
    values: FloatArray
    """The first objective then, shape (E,); NaN where it was not finite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IntermediateValues:
    """The curves of all trials that have reported."""

    study: Study
    curves: tuple[TrialCurve, ...]
    shown: ShownRange

    @property
    def num_pruned(self) -> int:
        """Trials that were stopped early."""
        return sum(curve.trial.state == "pruned" for curve in self.curves)

    @property
    def saved_share(self) -> float:
        """Share of the epochs that pruning saved: of those that the longest curve has, each."""
        longest = max(int(curve.epochs[-1]) for curve in self.curves)
        done = [int(curve.epochs[-1]) for curve in self.curves if curve.trial.state == "pruned"]
        return sum(longest - epoch for epoch in done) / (longest * len(self.curves))


def intermediate_values_data(study: Study) -> IntermediateValues:
    """Return the learning curves of the trials.

    Raises:
        NothingToDraw: If no trial has reported a finite value.
    """
    if len(study.objectives) == 2:
        raise NothingToDraw("needs one objective: with two, trials do not report their epochs.")
    curves = tuple(
        TrialCurve(
            trial=trial,
            epochs=np.array(list(trial.curve), dtype=np.int64),
            values=np.array(list(trial.curve.values()), dtype=np.float64),
        )
        for trial in study.trials
        if trial.curve
    )
    values = np.concatenate([curve.values for curve in curves]) if curves else np.empty(0)
    if not np.isfinite(values).any():
        raise NothingToDraw("no trial has reported an epoch.")
    return IntermediateValues(
        study=study, curves=curves, shown=shown_range(values, study.objectives[0])
    )


@styled
def draw_intermediate_values(data: IntermediateValues, style: Style) -> Figure:
    """Draw each trial's curve, in the colour of how it ended."""
    figure, (axes,) = build_panels(
        style,
        title=f"Learning curves of {count(len(data.curves), 'trial')}",
        aspect=0.45,
        legend=_handles(data),
    )
    for curve in data.curves:
        _draw_curve(axes, curve, data, style)
    set_value_axis(axes, data.shown, data.study.objectives[0])
    set_ticks(axes, x=10, integer_x=True)
    last = max(int(curve.epochs[-1]) for curve in data.curves)
    axes.set_xlim(0.5 if last < 25 else 0, last + max(0.5, 0.02 * last))
    axes.set_xlabel("epoch")
    objective = data.study.objectives[0]
    axes.set_title(data.shown.remark or objective.better, loc="right", color="#555555")
    return figure


def describe_intermediate_values(data: IntermediateValues) -> str:
    """Return how many trials were stopped, and when, in one sentence."""
    told = f"Learning curves of {count(len(data.curves), 'trial')}"
    if data.num_pruned:
        ends = [int(c.epochs[-1]) for c in data.curves if c.trial.state == "pruned"]
        told += (
            f"; {data.num_pruned} pruned, at epoch {np.median(ends):g} in the median, "
            f"which saved {100 * data.saved_share:.0f} % of the epochs"
        )
    best = data.study.best
    if best is not None:
        told += f"; the best, trial {best.number}, ends at {number(best.values[0])}"
    return f"{told}."


def _handles(data: IntermediateValues) -> list[Line2D]:
    states = {curve.trial.state for curve in data.curves}
    handles = special_lines(data.study)
    for state in ("complete", "running", *_END_MARKS):
        if state in states:
            mark = _END_MARKS.get(state, "")
            handles.append(line_handle(STATE_LABELS[state], STATE_COLOURS[state], "-", mark))
    return handles


def _draw_curve(axes: Axes, curve: TrialCurve, data: IntermediateValues, style: Style) -> None:
    trial, study = curve.trial, data.study
    is_special = trial is study.best or trial is study.default
    colour = STATE_COLOURS[trial.state]
    if is_special:
        colour = BEST_COLOUR if trial is study.best else DEFAULT_COLOUR
    is_dense = len(data.curves) > _MANY
    axes.plot(
        curve.epochs,
        curve.values,
        "--" if is_special and trial is not study.best else "-",
        color=colour,
        linewidth=style.line_width * (1.5 if is_special else 0.5 if is_dense else 0.8),
        alpha=1.0 if is_special else 0.3 if is_dense else 0.6,
        marker="o" if len(curve.epochs) == 1 and trial.state not in _END_MARKS else "",
        zorder=4 if is_special else 2,
    )
    if trial.state in _END_MARKS:
        end = [curve.values[-1]]
        mark = _END_MARKS[trial.state]
        axes.plot(curve.epochs[-1:], end, mark, color=colour, markersize=5, zorder=3)
    last = np.array([curve.epochs[-1]]), np.array([curve.values[-1]])
    mark_beyond(axes, *last, data.shown)


FIGURES: Final = (
    FigureSpec(
        name="intermediate_values",
        folder="search_visualizations",
        title="Learning curves of the trials",
        caption=(
            "What each trial reported after each epoch. Crosses mark where trials were stopped "
            "because they lagged behind. Curves that cross late say that the pruner may stop "
            "good trials: give them more epochs before it may. Where a trial is the mean of "
            "several fits, their epochs stand one after the other."
        ),
        needs=("study",),
        data=intermediate_values_data,
        draw=draw_intermediate_values,
        alt_text=describe_intermediate_values,
    ),
)
"""The learning curves."""
