"""Specification of a figure, with functions to compute, draw and describe its data."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.figure import Figure

from pipeline.core.errors import PipelineError
from pipeline.figures.base.style import styled

_FILES: Final[Mapping[str, str]] = {
    "history": "batch_metrics/metrics_history.json",
    "history_a": "batch_metrics/metrics_history.json of the first run",
    "history_b": "batch_metrics/metrics_history.json of the second run",
    "time_logs": "time_tracking/time_logs.json",
    "lr_logs": "lr_tracking/lr_logs.json",
    "evaluation": "evaluation.json",
    "attention": "attention.npz",
    "trait_names": "data.json",
    "y_true": "predictions with annotated scores",
    "y_pred": "predictions",
}
"""Input name -> file in the run directory, for error messages."""


class NothingToDraw(PipelineError):  # noqa: N818 - not a fault
    """Error if the records are valid but contain no data for a figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """Placeholder for an input that cannot be read."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureSpec:
    """Specification of one figure.

    `data` accepts inputs as keyword arguments. `draw` and `alt_text` accept the result of `data`:

        data = spec.data(history=history)
        figure = spec.draw(data, style)
        sentence = spec.alt_text(data)
    """

    name: str
    """File name without suffix."""
    folder: str = "training_visualizations"
    """Folder in the run directory."""
    title: str
    caption: str
    """Explanation of the figure in a few sentences."""
    data: Callable[..., Any]
    """Function that returns the data of the figure or raises `NothingToDraw`.

    Each parameter name is the name of an input. A parameter with a default is an optional input."""
    draw: Callable[..., Figure]
    """Function that draws the data. The constructor wraps this function with `styled`."""
    alt_text: Callable[[Any], str]
    """Function that returns one sentence with the main values of the data."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "draw", styled(self.draw))

    def build_data(self, inputs: Mapping[str, Any]) -> Any:
        """Compute the data of the figure.

        Args:
            inputs: Input name -> value. The value is None if the input is missing, and
                `Unavailable` if the input cannot be read. Unknown names are ignored.

        Raises:
            NothingToDraw: If the run has no data for this figure.
            PipelineError: If a required input is damaged.
        """
        required: dict[str, Any] = {}
        optional: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.data).parameters.items():
            value = inputs.get(name)
            if not isinstance(value, Unavailable | None):
                (required if parameter.default is parameter.empty else optional)[name] = value
            elif parameter.default is parameter.empty:
                if value is None:
                    raise NothingToDraw(f"a required input is missing: {_FILES.get(name, name)}.")
                raise PipelineError(value.reason)
        try:
            return self.data(**required, **optional)
        except PipelineError:
            # An optional input may be damaged, so draw the figure without optional inputs.
            if not optional:
                raise
            return self.data(**required)


def data_or_none(build: Callable[..., Any], *inputs: Any) -> Any:
    """Return the result of `build`, or None if `build` raises `NothingToDraw`."""
    try:
        return build(*inputs)
    except NothingToDraw:
        return None


def registry(*specs: FigureSpec) -> dict[str, FigureSpec]:
    """Return a dictionary of name -> specification, in the given order."""
    return {spec.name: spec for spec in specs}
