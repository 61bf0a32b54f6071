"""Draws a search from its directory: neither its storage nor Optuna is needed."""

from pipeline.core.errors import PipelineError
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.gallery import Gallery, draw_gallery
from pipeline.figures.search import search_figures
from pipeline.figures.search_study import Study, read_study
from pipeline.figures.spec import Unavailable
from pipeline.figures.style import SCREEN, Style


def is_search(run: RunDirectory) -> bool:
    """Return whether a directory is the one of a search."""
    return run.study_path.exists()


def illustrate_search(
    run: RunDirectory, *, formats: tuple[str, ...] = ("png",), style: Style = SCREEN
) -> Gallery:
    """Draw every figure that the record of a search allows.

    Args:
        run: Directory of the study; `search/study.json` in it is all that is read.
        formats: Formats of the figures: png, svg, pdf.
        style: Style of the figures.

    Returns:
        What was drawn, and why not where a figure is missing; a damaged record costs all of
        them, and is a fault.

    Raises:
        PipelineError: If a format is unknown.
    """
    inputs = {"study": _study(run)}
    return draw_gallery(search_figures(), inputs, run.path, formats=formats, style=style)


def search_problems(gallery: Gallery) -> tuple[str, ...]:
    """Return what is damaged, one line each; a record that costs every figure is named once."""
    return tuple(dict.fromkeys(figure.reason for figure in gallery.faults))


def _study(run: RunDirectory) -> Study | Unavailable:
    try:
        return read_study(run.study_path)
    except PipelineError as error:
        return Unavailable(reason=" ".join(str(error).split()))
