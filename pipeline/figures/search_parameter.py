"""A searched parameter as an axis: where its values lie, how they are written, where ticks stand.

Numbers lie where they are, choices at 0, 1, 2, ... in the order of the space.

Shapes: N trials.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.figures.layout import set_log_scale, set_log_scale_x
from pipeline.figures.wording import keeping_end

MAX_TICK: Final = 10
"""Characters of a choice at an axis."""

_ROOM: Final = 26
"""Characters below a small panel."""

_EDGE: Final = 0.06
"""Part of an axis that stays free on either side of its values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One setting that is searched."""

    name: str
    """Dotted name of the setting."""
    is_log: bool
    """Whether it is drawn on a logarithmic axis."""
    is_whole: bool
    """Whether only whole numbers are tried."""
    choices: tuple[str, ...]
    """What is chosen from, as text; empty for a number."""
    low: float
    """Lowest value that can be or was tried; -0.5 for choices."""
    high: float
    """Highest value that can be or was tried."""

    @property
    def is_choice(self) -> bool:
        """Whether its values have no distances between them."""
        return bool(self.choices)

    def places(self, settings: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Return where trials lie on the axis, shape (N,); NaN where it did not apply."""
        return np.array([self._place(each) for each in settings], dtype=np.float64)

    def scaled(self, places: FloatArray) -> FloatArray:
        """Return places as shares of the axis: 0 at its low end, 1 at its high end."""
        low, high = self._forward(np.array([self.low, self.high]))
        if low == high:
            return np.where(np.isfinite(places), 0.5, np.nan)
        shares: FloatArray = (self._forward(places) - low) / (high - low)
        return shares

    def unscaled(self, shares: FloatArray) -> FloatArray:
        """Return the places at shares of the axis."""
        low, high = self._forward(np.array([self.low, self.high]))
        inner = low + shares * (high - low)
        return np.asarray(np.exp(inner) if self.is_log else inner, dtype=np.float64)

    def aside(self, numbers: IntArray) -> FloatArray:
        """Return how far trials step aside within their choice, so that none hides another.

        Multiples of the golden ratio fill an interval evenly, however many there are.

        Args:
            numbers: Numbers of the trials, shape (N,).
        """
        if not self.is_choice:
            return np.zeros(len(numbers))
        steps: FloatArray = 0.5 * ((numbers * 0.6180339887) % 1.0 - 0.5)
        return steps

    def label(self, max_length: int) -> str:
        """Return its name for an axis, without its beginning where that is too long."""
        return keeping_end(self.name, max_length)

    def choice_labels(self, max_length: int) -> list[str]:
        """Return the choices for ticks, without their beginnings where these are too long."""
        return [keeping_end(choice, max_length) for choice in self.choices]

    def written(self, settings: Mapping[str, Any]) -> str:
        """Return its value as text; `not set` where it did not apply."""
        return value_text(settings[self.name]) if self.name in settings else "not set"

    def _place(self, settings: Mapping[str, Any]) -> float:
        if self.name not in settings:
            return float("nan")
        value = settings[self.name]
        return float(self.choices.index(value_text(value)) if self.is_choice else value)

    def _forward(self, places: FloatArray) -> FloatArray:
        return np.log(places) if self.is_log else places


def read_parameter(record: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> Parameter:
    """Return a parameter as the space declares it, wide enough for all that was tried.

    A study that goes on with a changed space has trials outside of what is declared now.

    Args:
        record: One of the `parameters` of `study.json`.
        settings: What each trial has set.

    Raises:
        KeyError, TypeError, ValueError: If it is damaged.
    """
    name, kind = str(record["name"]), record["kind"]
    tried = [each[name] for each in settings if name in each]
    if kind == "categorical" or record["choices"] is not None:
        declared = [value_text(choice) for choice in record["choices"] or ()]
        choices = tuple(dict.fromkeys([*declared, *map(value_text, tried)])) or ("none tried",)
        low, high = -0.5, len(choices) - 0.5
        return Parameter(
            name=name, is_log=False, is_whole=False, choices=choices, low=low, high=high
        )
    if kind not in {"int", "float"}:
        raise ValueError(f"{name}: kind must be categorical, int or float; found {kind!r}")
    ends = [end for end in (record["low"], record["high"]) if end is not None]
    numbers = [finite(value) for value in (*ends, *tried)] or [0.0, 1.0]
    low, high = min(numbers), max(numbers)
    return Parameter(
        name=name,
        is_log=bool(record["log"]) and low > 0,
        is_whole=kind == "int",
        choices=(),
        low=low,
        high=high,
    )


def finite(value: Any) -> float:
    """Return a number of a record.

    Raises:
        TypeError, ValueError: If it is none, or not finite.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"expected a finite number; found {value!r}")
    return number


def value_text(value: Any) -> str:
    """Return a setting as it is written in a configuration."""
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return json.dumps(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def set_parameter_axis(
    axes: Axes, parameter: Parameter, *, is_vertical: bool = False, max_length: int = MAX_TICK
) -> None:
    """Give a panel the axis of a parameter: its ends, its scale, its ticks.

    Args:
        axes: The panel.
        parameter: The parameter.
        is_vertical: Whether it is drawn upwards.
        max_length: Characters of a choice.
    """
    axis = axes.yaxis if is_vertical else axes.xaxis
    set_limits = axes.set_ylim if is_vertical else axes.set_xlim
    set_limits(*_limits(parameter))
    if parameter.is_choice:
        _set_choice_ticks(axes, parameter, is_vertical=is_vertical, max_length=max_length)
    elif parameter.is_log:
        (set_log_scale if is_vertical else set_log_scale_x)(axes)
        locator = axis.get_major_locator()
        if isinstance(locator, LogLocator):
            locator.set_params(numticks=4)  # small panels: 0.0001 beside 0.001 is too much
    else:
        axis.set_major_locator(_locator(parameter))


def has_slanted_ticks(parameter: Parameter, max_length: int = MAX_TICK) -> bool:
    """Return whether choices find no room side by side below a small panel."""
    labels = parameter.choice_labels(max_length)
    return sum(map(len, labels)) + 2 * len(labels) > _ROOM


def _locator(parameter: Parameter) -> MaxNLocator:
    if parameter.is_whole:
        return MaxNLocator(6, integer=True, min_n_ticks=1, steps=(1, 2, 5, 10))
    return MaxNLocator(4, steps=(1, 2, 2.5, 5, 10))


def _set_choice_ticks(
    axes: Axes, parameter: Parameter, *, is_vertical: bool, max_length: int
) -> None:
    labels = parameter.choice_labels(max_length)
    if is_vertical:
        axes.set_yticks(range(len(labels)), labels)
        return
    if has_slanted_ticks(parameter, max_length):
        axes.set_xticks(range(len(labels)), labels, rotation=25, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(range(len(labels)), labels)


def _limits(parameter: Parameter) -> tuple[float, float]:
    if parameter.is_choice:
        return parameter.low, parameter.high
    if parameter.low == parameter.high:
        step = abs(parameter.low) / 2 or 1.0
        return parameter.low - step, parameter.high + step
    low, high = parameter.unscaled(np.array([-_EDGE, 1 + _EDGE]))
    return float(low), float(high)
