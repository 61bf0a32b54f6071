"""Specification of a figure: functions that compute its data, draw it, and describe it."""

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
"""Input -> file in the run directory."""


class NothingToDraw(PipelineError):  # noqa: N818 - not a fault
    """The records are valid but contain no data for this figure."""


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
    """Explanation of the figure, a few sentences."""
    data: Callable[..., Any]
    """Function that returns the data of the figure or raises `NothingToDraw`.

    Its parameter names are input names. A parameter with a default is an optional input."""
    draw: Callable[..., Figure]
    """Function that draws the data. The constructor makes it apply the style."""
    alt_text: Callable[[Any], str]
    """Function that describes the data in one sentence with the main values."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "draw", styled(self.draw))

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the required inputs."""
        return self._parameters(has_default=False)

    def build_data(self, inputs: Mapping[str, Any]) -> Any:
        """Compute the data of the figure.

        Args:
            inputs: Input name -> value. A missing input is None, an unreadable input is
                `Unavailable`. Unknown names are ignored.

        Raises:
            NothingToDraw: If the run has no data for this figure.
            PipelineError: If a required input is damaged.
        """
        for name in self.needs:
            value = inputs.get(name)
            if isinstance(value, Unavailable):
                raise PipelineError(value.reason)
            if value is None:
                raise NothingToDraw(f"a required input is missing: {_FILES.get(name, name)}.")
        needed = {name: inputs[name] for name in self.needs}
        used = {
            name: value
            for name in self._parameters(has_default=True)
            if not isinstance(value := inputs.get(name), Unavailable | None)
        }
        try:
            return self.data(**needed, **used)
        except PipelineError:
            # Draw the figure even if an optional input is damaged.
            if not used:
                raise
            return self.data(**needed)

    def _parameters(self, *, has_default: bool) -> tuple[str, ...]:
        parameters = inspect.signature(self.data).parameters.values()
        return tuple(p.name for p in parameters if (p.default is not p.empty) == has_default)


def registry(*specs: FigureSpec) -> dict[str, FigureSpec]:
    """Return the specifications by name, in the given order."""
    return {spec.name: spec for spec in specs}
