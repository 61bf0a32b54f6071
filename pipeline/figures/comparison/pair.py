"""What all figures of two runs share: their names, their colours, their legend."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.lines import Line2D

from pipeline.core.errors import PipelineError
from pipeline.figures.base.layout import LineStyle, line_handle

COLOURS: Final = ("#0072B2", "#D55E00")
"""Colours of the first and of the second run."""

MAX_NAME: Final = 30
"""Characters of a run's name in a legend; a longer one keeps its end, which tells runs apart."""


def read_names(comparison: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the two runs of a comparison are called.

    Raises:
        PipelineError: If the comparison does not name two runs.
    """
    names = comparison.get("names") if isinstance(comparison, Mapping) else None
    if not isinstance(names, list | tuple) or len(names) != 2:
        raise PipelineError(
            f"comparison: `names` must be the names of two runs; found {names!r}. "
            "Compare the runs again."
        )
    return str(names[0]), str(names[1])


def pair_handles(
    names: Sequence[str], *, linestyle: LineStyle = "none", marker: str = ""
) -> list[Line2D]:
    """Return the legend's entries of the two runs."""
    return [
        line_handle(f"{letter}: {shortened(name)}", colour, linestyle, marker)
        for letter, name, colour in zip("AB", names, COLOURS, strict=True)
    ]


def shortened(name: str) -> str:
    """Return a name that fits into a legend; a longer name keeps its end."""
    return name if len(name) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}"
