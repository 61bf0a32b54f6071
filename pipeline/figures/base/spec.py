"""What a figure needs, how it is made, and how it is told in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.errors import PipelineError
from pipeline.figures.base.style import Draw

_INPUTS: Final[Mapping[str, str]] = {
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
"""What a user knows an input as."""


class NothingToDraw(PipelineError):  # noqa: N818 - says what it means, and is no fault
    """The records are sound, but hold nothing that this figure could show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unavailable:
    """Stands in place of an input that should be there and cannot be read."""

    reason: str
    """Why, in one line, e.g. the message of the error that reading it raised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureSpec:
    """One figure of a gallery: numbers, ink and words, and the inputs that they need.

    `data` is called with its inputs by name, `draw` and `alt_text` with what it returns:

        data = spec.data(history=history)
        figure = spec.draw(data, style)
        sentence = spec.alt_text(data)
    """

    name: str
    """File name without its suffix; unique in a gallery."""
    folder: str
    """Folder in the run directory."""
    title: str
    """Title, a few words."""
    caption: str
    """What is shown and how to read it, one or two sentences."""
    needs: tuple[str, ...]
    """Names of the inputs without which there is no figure."""
    uses: tuple[str, ...] = ()
    """Names of inputs that enrich the figure; left out of the call where they are missing."""
    data: Callable[..., Any]
    """Inputs by name -> the figure's numbers; raises `NothingToDraw` where there are none."""
    draw: Draw[Any]
    """The numbers, and a style -> the figure."""
    alt_text: Callable[[Any], str]
    """The numbers -> one sentence that stands in for the picture, with the actual values."""

    def build_data(self, inputs: Mapping[str, Any]) -> Any:
        """Return the figure's numbers from `inputs`, of which it takes what it needs.

        Args:
            inputs: Values by name; None for one that the run does not have,
                `Unavailable` for one that cannot be read.

        Raises:
            NothingToDraw: If the run has nothing that this figure could show.
            PipelineError: If a needed input is damaged.
        """
        for name in self.needs:
            value = inputs.get(name)
            if isinstance(value, Unavailable):
                raise PipelineError(value.reason)
            if value is None:
                raise NothingToDraw(f"needs {_INPUTS.get(name, name)}, which is not there.")
        needed = {name: inputs[name] for name in self.needs}
        used = {name: inputs[name] for name in self._at_hand(inputs)}
        try:
            return self.data(**needed, **used)
        except PipelineError:
            # What only enriches a figure must not cost it, when that is damaged or empty.
            if not used:
                raise
            return self.data(**needed)

    def _at_hand(self, inputs: Mapping[str, Any]) -> tuple[str, ...]:
        missing = (type(None), Unavailable)
        return tuple(name for name in self.uses if not isinstance(inputs.get(name), missing))


def registry(*specs: FigureSpec) -> dict[str, FigureSpec]:
    """Return specs by name, in their order.

    Raises:
        ValueError: If two have the same name.
    """
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) != len(specs):
        names = [spec.name for spec in specs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"figures need names of their own; repeated: {', '.join(repeated)}")
    return by_name
