"""Draws every figure that the records of a run allow, and says why not for the others.

A gallery is an ordered mapping of names to `FigureSpec`. The figures of training are in
`training_figures()`; others (attention, comparison) bring mappings of their own, and
`draw_gallery` draws any of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import PipelineError
from pipeline.figures.attention import agreement as attention_agreement
from pipeline.figures.attention import dashboard as attention_dashboard
from pipeline.figures.attention import entropy as attention_entropy
from pipeline.figures.attention import faithfulness as attention_faithfulness
from pipeline.figures.attention import maps as attention_maps
from pipeline.figures.attention import traits as attention_traits
from pipeline.figures.base.saving import check_formats, save_figure
from pipeline.figures.base.spec import FigureSpec, NothingToDraw, registry
from pipeline.figures.base.style import SCREEN, Style
from pipeline.figures.evaluation import (
    calibration,
    predictions,
    residuals,
    scores,
    trait_correlations,
)
from pipeline.figures.time import batch_time, epoch_time, throughput, time_breakdown
from pipeline.figures.training import (
    batch_performance,
    curves,
    dashboards,
    learning_rate,
    metric_correlation,
    traits,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnFigure:
    """A figure that is on disk."""

    spec: FigureSpec
    """What it is."""
    paths: tuple[Path, ...]
    """Its files, one a format."""
    alt_text: str
    """One sentence that stands in for the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OmittedFigure:
    """A figure that could not be drawn."""

    spec: FigureSpec
    """What it would have been."""
    reason: str
    """Why it is missing, one line."""
    is_fault: bool
    """Whether records are damaged; False where the run just has nothing to show there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """What was drawn and what was not."""

    drawn: tuple[DrawnFigure, ...]
    omitted: tuple[OmittedFigure, ...]

    @property
    def faults(self) -> tuple[OmittedFigure, ...]:
        """The figures that are missing because records are damaged."""
        return tuple(figure for figure in self.omitted if figure.is_fault)


def draw_gallery(
    specs: Mapping[str, FigureSpec],
    inputs: Mapping[str, Any],
    output_dir: Path,
    *,
    formats: Iterable[str] = ("png",),
    style: Style = SCREEN,
) -> Gallery:
    """Draw the figures whose inputs are there, each into its folder under `output_dir`.

    Args:
        specs: The figures by name.
        inputs: Their inputs by name; None for one that the run does not have,
            `Unavailable` for one that cannot be read.
        output_dir: Usually the run directory.
        formats: Suffixes of the files to write: png, svg, pdf.
        style: Style of the figures.

    Raises:
        PipelineError: If a format is unknown.
    """
    formats = check_formats(formats)
    drawn, omitted = [], []
    for spec in specs.values():
        try:
            data = spec.build_data(inputs)
        except PipelineError as error:
            is_fault = not isinstance(error, NothingToDraw)
            omitted.append(OmittedFigure(spec=spec, reason=str(error), is_fault=is_fault))
            continue
        alt_text = spec.alt_text(data)
        figure = spec.draw(data, style)
        path = output_dir / spec.folder / spec.name
        paths = save_figure(figure, path, formats=formats, style=style, alt_text=alt_text)
        drawn.append(DrawnFigure(spec=spec, paths=paths, alt_text=alt_text))
    return Gallery(drawn=tuple(drawn), omitted=tuple(omitted))


def training_figures() -> dict[str, FigureSpec]:
    """Return the figures of training, traits, predictions and time, by name and in order."""
    return registry(
        dashboards.TRAINING,
        *curves.FIGURES,
        *learning_rate.FIGURES,
        *batch_performance.FIGURES,
        *traits.FIGURES,
        *metric_correlation.FIGURES,
        *scores.FIGURES,
        *predictions.FIGURES,
        *residuals.FIGURES,
        *calibration.FIGURES,
        *trait_correlations.FIGURES,
        dashboards.TIME,
        *epoch_time.FIGURES,
        *batch_time.FIGURES,
        *time_breakdown.FIGURES,
        *throughput.FIGURES,
    )


def attention_figures() -> dict[str, FigureSpec]:
    """Return the figures of attention, by name and in order.

    Their inputs are `attention`, read by `read_attention`, and optionally `attention_history`:
    the contents of the `attention` events of the run log, in their order.
    """
    return registry(
        *attention_dashboard.FIGURES,
        *attention_traits.FIGURES,
        *attention_faithfulness.FIGURES,
        *attention_maps.FIGURES,
        *attention_entropy.FIGURES,
        *attention_agreement.FIGURES,
    )
