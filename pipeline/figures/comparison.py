"""Figures that compare two runs: metric differences, metric values, and curves over the epochs.

Shapes: R = K + 1 rows (mean over the traits, and the K traits), E epochs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.core.number_format import (
    METRIC_LABELS,
    METRIC_NAMES,
    count,
    metric_differences,
    metric_value,
    percent,
)
from pipeline.figures.base.curves import Curve, epoch_marker, read_curve, set_epoch_axis
from pipeline.figures.base.layout import (
    LineStyle,
    build_panels,
    describe_clips,
    line_handle,
    name_rows,
    names_em,
    set_note,
    set_value_axis,
)
from pipeline.figures.base.spec import FigureSpec, NothingToDraw
from pipeline.figures.base.style import MUTED, Style
from pipeline.figures.evaluation.scores import interval_rows, row_names
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.evaluation import EvaluationReport, Scores
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.typed_json import check_content

COLOURS: Final = ("#0072B2", "#D55E00")
UNDECIDED_COLOUR: Final = "#444444"
_MAX_NAME_LENGTH: Final = 30
_BAR_HEIGHT: Final = 0.36
_CURVE_METRICS: Final = ("loss", "mae")

_SCORE_METRICS: Final = ("r2", "ccc", "mae")
"""Metrics with a meaningful zero, so that bars can start at 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedRuns:
    """Fields of a saved comparison that the figures use."""

    names: tuple[str, str]
    labels: tuple[str, str]
    """Short names of the runs, e.g. A and B."""
    split: str
    """Subset of the clips, e.g. "test"."""
    num_clips: int
    num_groups: int
    """Number of groups of clips. The bootstrap resamples whole groups."""
    confidence: float
    """Confidence level of the intervals, in (0, 1)."""
    differences: Scores
    """Metric -> trait name or "mean" -> value of the second run minus value of the first run."""

    @property
    def clips(self) -> str:
        """Number and split of the clips, and number of groups."""
        clips = count(self.num_clips, f"{self.split} clip")
        return f"{clips} of {count(self.num_groups, 'group')}"

    def winners(self, metric: str) -> tuple[int | None, ...]:
        """Return the index of the better run for each row.

        The index is None if the interval of the difference contains 0 or is unknown.
        """
        sign = 1 if HIGHER_IS_BETTER[metric] else -1
        _, lows, highs = interval_rows(self.differences, metric, row_names(self.differences))
        return tuple(
            int(sign * low > 0) if low > 0 or high < 0 else None
            for low, high in zip(lows, highs, strict=True)
        )


def _draw_metric_differences(data: ComparedRuns, style: Style) -> Figure:
    interval = f"{percent(data.confidence)} interval contains 0"
    names = row_names(data.differences)
    figure, panels = build_panels(
        style,
        title="Difference between two runs",
        sample=data.clips,
        num_panels=6,
        columns=3,
        aspect=0.72,
        outer_left=names_em(names),
        left=1.2,
        right=1.2,
        bottom=4.2,
        top=2.4,
        legend=[
            *_run_handles(data.names, linestyle="-", marker="o"),
            line_handle(interval, UNDECIDED_COLOUR, "-", "o"),
        ],
    )
    for position, (axes, metric) in enumerate(zip(panels, METRICS, strict=True)):
        winners, rows = data.winners(metric), np.arange(len(names))
        colours = [UNDECIDED_COLOUR if run is None else COLOURS[run] for run in winners]
        values, low, high = interval_rows(data.differences, metric, names)
        axes.axvline(0, color=MUTED, linewidth=1.0)
        axes.axhline(0.5, color=MUTED, linewidth=0.5)  # separates the mean from the traits
        axes.hlines(rows, low, high, colors=colours, linewidth=2.5)
        axes.scatter(values, rows, c=colours, s=36, zorder=3)
        left, right = (0, 1) if HIGHER_IS_BETTER[metric] else (1, 0)
        axes.set_title(f"← {'AB'[left]} better", loc="left", color=COLOURS[left])
        set_note(axes, f"{'AB'[right]} better →", COLOURS[right])
        axes.set_xlabel(f"{METRIC_NAMES[metric]}, B − A")
        name_rows(axes, names if position % 3 == 0 else [""] * len(names))
        largest = np.nanmax(np.abs([values, low, high]))
        centre_on_zero(axes, 1.15 * float(largest) or 1.0)
    return figure


def _describe_metric_differences(data: ComparedRuns) -> str:
    parts = []
    for metric in METRICS:
        winner = data.winners(metric)[0]
        verdict = "undecided" if winner is None else f"{'AB'[winner]} is better"
        (difference,) = metric_differences(metric, data.differences[metric]["mean"].value)
        parts.append(f"{METRIC_NAMES[metric]} {difference} ({verdict})")
    first, second = data.names
    return (
        f"B ({second}) minus A ({first}) on {data.clips}, mean over the traits: {', '.join(parts)}."
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ScorePair:
    """Evaluations of two runs on the same clips."""

    names: tuple[str, str]
    evaluations: tuple[EvaluationReport, EvaluationReport]

    @property
    def clips(self) -> str:
        """Number and split of the clips, e.g. `1,200 test clips`."""
        return describe_clips(self.evaluations[0].num_clips, self.evaluations[0].split)


def _score_pair_data(
    comparison: Mapping[str, Any], evaluation_a: EvaluationReport, evaluation_b: EvaluationReport
) -> ScorePair:
    names = check_content(ComparedRuns, comparison).names
    samples = [(each.split, each.num_clips) for each in (evaluation_a, evaluation_b)]
    if samples[0] != samples[1]:
        found = ", ".join(
            f"{name} on {num_clips} {split} clips"
            for name, (split, num_clips) in zip(names, samples, strict=True)
        )
        raise NothingToDraw(f"both runs must be evaluated on the same clips, but found {found}.")
    return ScorePair(names=names, evaluations=(evaluation_a, evaluation_b))


def _draw_score_pair(data: ScorePair, style: Style) -> Figure:
    names = row_names(data.evaluations[0].metrics)
    figure, panels = build_panels(
        style,
        title="Scores of two runs",
        sample=data.clips,
        num_panels=len(_SCORE_METRICS),
        aspect=1.15,
        outer_left=names_em(names),
        left=1.2,
        right=1.2,
        bottom=4.2,
        legend=_run_handles(data.names, marker="s"),
    )
    for axes, metric in zip(panels, _SCORE_METRICS, strict=True):
        for run, (colour, evaluation) in enumerate(zip(COLOURS, data.evaluations, strict=True)):
            rows = np.arange(len(names)) + (run - 0.5) * _BAR_HEIGHT
            values, low, high = interval_rows(evaluation.metrics, metric, names)
            axes.barh(rows, values, height=_BAR_HEIGHT, color=colour, alpha=0.75)
            axes.hlines(rows, low, high, colors="#222222")
        axes.axvline(0, color=MUTED, linewidth=1.0)
        axes.axhline(0.5, color=MUTED, linewidth=0.5)  # separates the mean from the traits
        set_note(axes, f"{'longer' if HIGHER_IS_BETTER[metric] else 'shorter'} is better")
        axes.set_xlabel(METRIC_LABELS[metric])
        name_rows(axes, names if axes is panels[0] else [""] * len(names))
    return figure


def _describe_score_pair(data: ScorePair) -> str:
    first, second = (
        f"{name} "
        + ", ".join(
            f"{METRIC_NAMES[m]} {metric_value(m, evaluation.metrics[m]['mean'].value)}"
            for m in _SCORE_METRICS
        )
        for name, evaluation in zip(data.names, data.evaluations, strict=True)
    )
    return f"Mean over the traits on {data.clips}: {first}; {second}."


@dataclass(frozen=True, kw_only=True, eq=False)
class CurvePair:
    """Loss and MAE curves of two runs."""

    names: tuple[str, str]
    curves: Mapping[str, tuple[Curve, Curve]]
    """`loss` or `mae` -> (curve of the first run, curve of the second run)."""


def _curve_pair_data(
    comparison: Mapping[str, Any], history_a: MetricsHistory, history_b: MetricsHistory
) -> CurvePair:
    return CurvePair(
        names=check_content(ComparedRuns, comparison).names,
        curves={
            metric: (read_curve(history_a, metric), read_curve(history_b, metric))
            for metric in _CURVE_METRICS
        },
    )


def _draw_curve_pair(data: CurvePair, style: Style) -> Figure:
    handles = [
        *_run_handles(data.names, linestyle="-"),
        line_handle("validation", "#444444"),
        line_handle("training", "#444444", "--"),
    ]
    figure, panels = build_panels(
        style,
        title="Training of two runs",
        sample="training and validation clips",
        num_panels=2,
        aspect=0.62,
        legend=handles,
    )
    for axes, (metric, curves) in zip(panels, data.curves.items(), strict=True):
        for curve, colour in zip(curves, COLOURS, strict=True):
            marker = epoch_marker(curve.epochs)
            if curve.train is not None:
                axes.plot(curve.epochs, curve.train, "--", color=colour, marker=marker, alpha=0.55)
            if curve.validation is not None:
                axes.plot(curve.epochs, curve.validation, color=colour, marker=marker)
            if curve.best is not None:
                best = curve.epochs[curve.best], curve.best_value
                axes.plot(*best, "o", ms=9, mfc="none", mec=MUTED)
        set_epoch_axis(axes, np.unique(np.concatenate([curve.epochs for curve in curves])))
        subsets = [values for curve in curves for values in (curve.train, curve.validation)]
        is_positive = all(np.nanmin(values) > 0 for values in subsets if values is not None)
        is_log = is_positive and any(curve.is_logarithmic for curve in curves)
        set_value_axis(axes, METRIC_LABELS[metric], is_log=is_log)
        values = " · ".join(curve.best_text for curve in curves)
        set_note(axes, f"best {METRIC_NAMES[metric]}, A · B: {values}")
    return figure


def _describe_curve_pair(data: CurvePair) -> str:
    first, second = (
        f"{name} {curve.best_text} in epoch {curve.best_epoch} of {curve.epochs[-1]} "
        f"({curve.subset})"
        for name, curve in zip(data.names, data.curves["loss"], strict=True)
    )
    return f"Lowest losses: {first}, {second}."


def shorten_run_name(name: str) -> str:
    """Shorten a run name at its start if the name is too long for a legend."""
    return name if len(name) <= _MAX_NAME_LENGTH else f"…{name[1 - _MAX_NAME_LENGTH :]}"


def _run_handles(
    names: Sequence[str], *, linestyle: LineStyle = "none", marker: str = ""
) -> list[Line2D]:
    return [
        line_handle(f"{letter}: {shorten_run_name(name)}", colour, linestyle, marker)
        for letter, name, colour in zip("AB", names, COLOURS, strict=True)
    ]


def centre_on_zero(axes: Axes, limit: float) -> None:
    """Set the x axis from `-limit` to `limit`, with three ticks."""
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
            "Second run minus first run, on average and per trait, with paired cluster-bootstrap "
            "intervals. A dark grey interval contains 0, so it does not show a difference. Other "
            "intervals have the colour of the better run. Arrows point to the better run."
        ),
        data=lambda comparison: check_content(ComparedRuns, comparison),
        draw=_draw_metric_differences,
        alt_text=_describe_metric_differences,
    ),
    FigureSpec(
        name="trait_scores",
        folder="comparison",
        title="Scores of both runs per trait",
        caption=(
            "Score of each run with its interval, on average and per trait. If intervals "
            "overlap, the runs can still differ: see the paired differences."
        ),
        data=_score_pair_data,
        draw=_draw_score_pair,
        alt_text=_describe_score_pair,
    ),
    FigureSpec(
        name="loss_curves",
        folder="comparison",
        title="Training of both runs",
        caption=(
            "Loss and MAE of both runs over their epochs, on validation clips (solid) and on "
            "training clips (dashed). Rings mark the best epochs. The losses are comparable only "
            "if both runs minimise the same loss. The MAE is always comparable."
        ),
        data=_curve_pair_data,
        draw=_draw_curve_pair,
        alt_text=_describe_curve_pair,
    ),
)
