"""Specification of a figure: its inputs, and functions that compute, draw and describe it."""

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
    "y_true": "predictions with annotated scores",
    "y_pred": "predictions",
}
"""Input -> its file in the run directory."""


class NothingToDraw(PipelineError):  # noqa: N818 - not a fault
    """The records are valid but contain no data for this figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """Placeholder for an input that cannot be read."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureSpec:
    """Specification of one figure.

    `data` gets its inputs as keyword arguments. `draw` and `alt_text` get its result:

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
    """Content of the figure and how to read it, one or two sentences."""
    data: Callable[..., Any]
    """Function of the inputs that returns the data of the figure or raises `NothingToDraw`.

    Its parameters are the names of inputs. A parameter with a default is an optional input."""
    draw: Callable[..., Figure]
    """Function of the data and a style that returns the figure. It runs in this style."""
    alt_text: Callable[[Any], str]
    """Function of the data that returns the alt text, one sentence with the main values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "draw", styled(self.draw))

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the required inputs."""
        return self._parameters(has_default=False)

    def build_data(self, inputs: Mapping[str, Any]) -> Any:
        """Compute the data of the figure.

        Args:
            inputs: Values by name: None for a missing input, `Unavailable` for an unreadable
                input. Other inputs are ignored.

        Raises:
            NothingToDraw: If the run has no data for this figure.
            PipelineError: If a required input is damaged.
        """
        for name in self.needs:
            value = inputs.get(name)
            if isinstance(value, Unavailable):
                raise PipelineError(value.reason)
            if value is None:
                raise NothingToDraw(f"needs {_FILES.get(name, name)}, which is missing.")
        needed = {name: inputs[name] for name in self.needs}
        used = {
            name: value
            for name in self._parameters(has_default=True)
            if not isinstance(value := inputs.get(name), Unavailable | None)
        }
        try:
            return self.data(**needed, **used)
        except PipelineError:
            # A damaged optional input must not prevent the figure.
            if not used:
                raise
            return self.data(**needed)

    def _parameters(self, *, has_default: bool) -> tuple[str, ...]:
        parameters = inspect.signature(self.data).parameters.values()
        return tuple(p.name for p in parameters if (p.default is not p.empty) == has_default)


def registry(*specs: FigureSpec) -> dict[str, FigureSpec]:
    """Return specifications by name, in the given order."""
    return {spec.name: spec for spec in specs}
