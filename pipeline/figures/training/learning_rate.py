"""The learning rate over the training, step by step where the steps were logged.

Shapes: E epochs, S logged steps.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.number_format import count, number
from pipeline.figures.base.curve_data import check_epochs
from pipeline.figures.base.layout import LineStyle, build_panels, line_handle, set_log_scale
from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.base.style import ACCENT, WARNING_COLOUR, Style, styled
from pipeline.figures.training.curves import MAX_MARKED_EPOCHS, set_epoch_axis
from pipeline.records.metrics_history import LearningRateLogs, MetricsHistory


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningRate:
    """The learning rate over the training."""

    epochs: IntArray
    """Numbers of the epochs, shape (E,)."""
    rates: FloatArray
    """Learning rate of each epoch's last step, shape (E,)."""
    step_epochs: FloatArray
    """When each logged step ended, in epochs, shape (S,); empty where steps are unknown."""
    step_rates: FloatArray
    """Learning rate of each logged step, shape (S,)."""
    cut_epochs: IntArray
    """Epochs at which a rate that is constant otherwise was cut, as on a plateau."""

    @property
    def is_marked(self) -> bool:
        """Whether each epoch gets a point of its own."""
        return len(self.epochs) <= MAX_MARKED_EPOCHS or not self.step_rates.size

    @property
    def is_logarithmic(self) -> bool:
        """Whether the cuts span so much that only a logarithmic axis shows them all."""
        return self.cut_epochs.size > 0 and bool(self.rates.max() >= 10 * self.rates.min() > 0)


def learning_rate_data(
    lr_logs: LearningRateLogs, history: MetricsHistory | None = None
) -> LearningRate:
    """Return the learning rate over the training.

    Args:
        lr_logs: The learning rate of each epoch.
        history: The history of the run, for the learning rate of each step.
    """
    check_epochs(lr_logs.epoch)
    epochs, rates = lr_logs.epoch, lr_logs.learning_rate
    is_reduction = lr_logs.is_reduction.astype(bool)
    # A schedule lowers the rate in nearly every epoch; only a rate that mostly rests is cut.
    changes = np.diff(rates)
    rests = bool((changes == 0).sum() >= max(1, (changes < 0).sum()))
    step_epochs, step_rates = _steps(history) if history is not None else (np.empty(0),) * 2
    return LearningRate(
        epochs=epochs,
        rates=rates,
        step_epochs=step_epochs,
        step_rates=step_rates,
        cut_epochs=epochs[is_reduction] if rests and is_reduction.size else epochs[:0],
    )


@styled
def draw_learning_rate(data: LearningRate, style: Style) -> Figure:
    """Draw the learning rate."""
    figure, (axes,) = build_panels(
        style, title="Learning rate", width="column", legend=_handles(data)
    )
    draw_learning_rate_panel(axes, data)
    return figure


def draw_learning_rate_panel(axes: Axes, data: LearningRate) -> None:
    """Draw the learning rate into a panel."""
    has_steps = data.step_rates.size > 0
    if has_steps:
        axes.plot(data.step_epochs, data.step_rates, color=ACCENT, rasterized=True)
    if data.is_marked:
        linestyle = "none" if has_steps else "-"
        axes.plot(data.epochs, data.rates, linestyle=linestyle, marker="o", color=ACCENT)
    for epoch in data.cut_epochs:
        # With the steps on the axis, an epoch begins where the one before it ended.
        begin = epoch - (1.0 if has_steps else 0.5)
        axes.axvline(begin, color=WARNING_COLOUR, linestyle=":", linewidth=1.0)
    set_epoch_axis(axes, data.epochs)
    if has_steps:
        axes.set_xlim(left=float(data.epochs[0]) - 1)
    if data.is_logarithmic:
        set_log_scale(axes)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(_powers_of_ten())
    axes.set_xlabel("epoch")
    axes.set_ylabel("learning rate")


def describe_learning_rate(data: LearningRate) -> str:
    """Return the learning rate in one sentence."""
    rates = data.step_rates if data.step_rates.size else data.rates
    peak = number(float(rates.max()))
    if rates.min() == rates.max():
        return f"The learning rate stays at {peak} for {count(len(data.epochs), 'epoch')}."
    cuts = ", ".join(map(str, data.cut_epochs))
    tail = f", cut at epoch {cuts}" if cuts else ""
    return (
        f"The learning rate starts at {number(float(rates[0]))}, has its highest value {peak}, "
        f"and ends at {number(float(rates[-1]))} after {count(len(data.epochs), 'epoch')}{tail}."
    )


def _handles(data: LearningRate) -> list[Line2D]:
    handles = []
    if data.step_rates.size:
        handles.append(line_handle("each step", ACCENT))
    if data.is_marked:
        linestyle: LineStyle = "none" if data.step_rates.size else "-"
        handles.append(line_handle("end of an epoch", ACCENT, linestyle, "o"))
    if data.cut_epochs.size:
        handles.append(line_handle("cut", WARNING_COLOUR, ":"))
    return handles


def _steps(history: MetricsHistory) -> tuple[FloatArray, FloatArray]:
    """Return when each logged step ended, in epochs, and its learning rate."""
    rates, numbers = history.batch.learning_rate, history.batch.batch_numbers
    epochs = history.epoch.epoch_numbers
    if not rates.size or not epochs.size:
        return np.empty(0), np.empty(0)
    # The last steps of the last epoch may be missing where only some steps are logged.
    steps_per_epoch = np.ceil(numbers[-1] / len(epochs))
    return epochs[0] - 1 + numbers / steps_per_epoch, rates


def _powers_of_ten() -> ScalarFormatter:
    formatter = ScalarFormatter(useMathText=False)
    formatter.set_powerlimits((-2, 3))
    return formatter


FIGURES: Final = (
    FigureSpec(
        name="learning_rate_changes",
        folder="training_visualizations",
        title="Learning rate",
        caption=(
            "The learning rate of every logged step, and of the last step of every epoch. "
            "Dotted lines mark epochs at which a constant rate was cut."
        ),
        needs=("lr_logs",),
        uses=("history",),
        data=learning_rate_data,
        draw=draw_learning_rate,
        alt_text=describe_learning_rate,
    ),
)
"""The learning rate."""
