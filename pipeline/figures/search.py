"""The figures of a search.

Their input is `study`: what `read_study` reads out of the search's `study.json`.
"""

from pipeline.figures import (
    search_contour,
    search_curves,
    search_history,
    search_importances,
    search_parallel,
    search_pareto,
    search_slice,
    search_timeline,
)
from pipeline.figures.spec import FigureSpec, registry


def search_figures() -> dict[str, FigureSpec]:
    """Return the figures of a search, by name and in order."""
    modules = (
        search_history,
        search_importances,
        search_slice,
        search_contour,
        search_parallel,
        search_curves,
        search_pareto,
        search_timeline,
    )
    return registry(*(spec for module in modules for spec in module.FIGURES))
