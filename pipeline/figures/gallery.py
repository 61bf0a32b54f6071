"""Draw a set of figures and write their image files. Figures without data are omitted."""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from matplotlib.image import imread

from pipeline.core.errors import PipelineError
from pipeline.core.files import atomic_path
from pipeline.core.traits import TRAITS
from pipeline.figures import comparison, several_runs
from pipeline.figures.attention import dashboard as attention_dashboard
from pipeline.figures.attention import faithfulness, heads, maps
from pipeline.figures.attention import traits as attention_traits
from pipeline.figures.base.spec import FigureSpec, NothingToDraw, registry
from pipeline.figures.base.style import SCREEN, Style
from pipeline.figures.evaluation import calibration, correlations, predictions, scores
from pipeline.figures.processes import DrawingProcesses
from pipeline.figures.time import epoch_time, step_time
from pipeline.figures.training import curves, dashboards, steps

# A higher compression level saves only 8 % of the file size, so the level is low. The files
# must be reproducible, so the metadata contains no dates and no versions.
_SAVE_OPTIONS: Final[Mapping[str, Any]] = {
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 2}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "pdf": {"metadata": {"CreationDate": None, "Producer": None, "Creator": None}},
}

# Matplotlib would import a window system to find the value of `backend`.
_BACKEND_SETTINGS: Final = ("backend", "backend_fallback")

FORMATS: Final = tuple(_SAVE_OPTIONS)
"""Formats of the image files."""

DEFAULT_FIGURES: Final = frozenset(
    {
        *("training_dashboard", "train_val_loss", "trait_metrics"),
        *("scores_and_baselines", "predictions_vs_truth", "residuals", "calibration"),
        *("trait_correlations", "attention_dashboard", "trait_attention"),
        *("attention_faithfulness", "training_time_dashboard"),
    }
)
"""Names of the figures that are drawn by default. `visualize --all` also draws the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnFigure:
    """Figure that was drawn and saved."""

    spec: FigureSpec
    paths: tuple[Path, ...]
    """Image files, one per format."""
    alt_text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OmittedFigure:
    """Figure that could not be drawn."""

    spec: FigureSpec
    reason: str
    is_fault: bool
    """True if records of the run are damaged. False if the run has no data for the figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Result of `draw_gallery`."""

    drawn: tuple[DrawnFigure, ...]
    omitted: tuple[OmittedFigure, ...]

    @property
    def faults(self) -> tuple[OmittedFigure, ...]:
        """Figures that are omitted because records are damaged."""
        return tuple(figure for figure in self.omitted if figure.is_fault)


def draw_gallery(
    specs: Mapping[str, FigureSpec],
    inputs: Mapping[str, Any],
    output_dir: Path,
    *,
    formats: Iterable[str] = ("png",),
    style: Style = SCREEN,
    processes: DrawingProcesses | None = None,
) -> Gallery:
    """Draw all figures that have data, and save each in its folder under `output_dir`.

    If an input is missing, its value is None. If an input cannot be read, its value is
    `Unavailable`. `formats` is a subset of `FORMATS`. `processes` draw some of the figures; this
    requires that `specs` is a part of `figure_specs`.

    Raises:
        PipelineError: If a format is unknown.
    """
    formats = check_formats(formats)

    def draw(name: str) -> dict[str, Any]:
        return _draw(specs[name], inputs, output_dir, formats, style)

    if processes is None:
        found = {name: draw(name) for name in specs}
    else:
        # Settings of Matplotlib that the user has changed also apply in the other processes.
        settings = {name: rcParams[name] for name in rcParams if name not in _BACKEND_SETTINGS}
        found = processes.draw(
            draw, specs, pickle.dumps((inputs, output_dir, formats, style, settings))
        )
    results = [(specs[name], values) for name, values in found.items()]
    return Gallery(
        drawn=tuple(DrawnFigure(spec=spec, **each) for spec, each in results if "paths" in each),
        omitted=tuple(
            OmittedFigure(spec=spec, **each) for spec, each in results if "reason" in each
        ),
    )


def build_drawing_work() -> Callable[[tuple[bytes, str]], dict[str, Any]]:
    """Return the function that draws one figure in another process."""

    def draw(task: tuple[bytes, str]) -> dict[str, Any]:
        context, name = task
        inputs, output_dir, formats, style, settings = pickle.loads(context)  # noqa: S301
        with rc_context(settings):
            spec = figure_specs(inputs["trait_names"])[name]
            return _draw(spec, inputs, output_dir, formats, style)

    return draw


def _draw(
    spec: FigureSpec,
    inputs: Mapping[str, Any],
    output_dir: Path,
    formats: tuple[str, ...],
    style: Style,
) -> dict[str, Any]:
    """Draw and save one figure. Return the fields of a `DrawnFigure` or an `OmittedFigure`."""
    try:
        data = spec.build_data(inputs)
    except PipelineError as error:
        return {"reason": str(error), "is_fault": not isinstance(error, NothingToDraw)}
    alt_text = spec.alt_text(data)
    figure = spec.draw(data, style)
    path = output_dir / spec.folder / spec.name
    paths = save_figure(figure, path, formats=formats, style=style, alt_text=alt_text)
    return {"paths": paths, "alt_text": alt_text}


def save_figure(
    figure: Figure,
    path: Path,
    *,
    formats: Iterable[str] = ("png",),
    style: Style = SCREEN,
    alt_text: str = "",
) -> tuple[Path, ...]:
    """Write one image file per format atomically. `path` is the file path without suffix.

    `style` must be the style of the drawn figure. The metadata of each file contains `alt_text`.
    """
    paths = tuple(path.with_name(f"{path.name}.{suffix}") for suffix in formats)
    for suffix, target in zip(formats, paths, strict=True):
        description = "Subject" if suffix == "pdf" else "Description"
        options = dict(_SAVE_OPTIONS[suffix])
        options["metadata"] = options["metadata"] | {description: alt_text}
        with style.applied(), atomic_path(target) as temporary:
            figure.savefig(temporary, format=suffix, **options)
    return paths


def check_formats(formats: Iterable[str]) -> tuple[str, ...]:
    """Check the image formats and return them without duplicates.

    Raises:
        PipelineError: If a format is unknown, or there is no format.
    """
    formats = tuple(dict.fromkeys(formats))
    unknown = [suffix for suffix in formats if suffix not in FORMATS]
    if unknown or not formats:
        raise PipelineError(
            f"figures can be written as {', '.join(FORMATS)}, but found "
            f"{', '.join(map(repr, unknown)) or 'no format'}. Give at least one of these formats."
        )
    return formats


def is_blank(path: Path) -> bool:
    """Return True if all pixels of a PNG file have the same colour.

    Raises:
        PipelineError: If the file is not a complete PNG file.
    """
    try:
        pixels = imread(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: cannot be read as an image ({error}).") from error
    flat = np.reshape(pixels, (-1, pixels.shape[-1]))
    return bool((flat == flat[0]).all())


def training_figures(trait_names: Sequence[str] = TRAITS) -> dict[str, FigureSpec]:
    """Return the figures of training, predictions and time: name -> specification."""
    return registry(
        scores.FIGURE,
        *predictions.FIGURES,
        calibration.FIGURE,
        correlations.TRAIT_FIGURE,
        dashboards.TRAINING,
        *curves.METRIC_FIGURES,
        *curves.trait_figures(trait_names),
        *steps.FIGURES,
        correlations.METRIC_FIGURE,
        dashboards.TIME,
        *epoch_time.EPOCH_FIGURES,
        *step_time.FIGURES,
        epoch_time.THROUGHPUT,
    )


def default_figures(specs: Mapping[str, FigureSpec]) -> dict[str, FigureSpec]:
    """Return the figures of `specs` that are in `DEFAULT_FIGURES`."""
    return {name: spec for name, spec in specs.items() if name in DEFAULT_FIGURES}


def attention_figures() -> dict[str, FigureSpec]:
    """Return the attention figures: name -> specification.

    The required inputs are `attention`, the content of `attention.npz`, and `trait_names`. The
    optional input is `attention_history`, the `attention` events of the run log.
    """
    return registry(
        attention_dashboard.FIGURE,
        *attention_traits.FIGURES,
        faithfulness.FIGURE,
        *maps.FIGURES,
        *heads.FIGURES,
    )


def figure_specs(trait_names: Sequence[str] = TRAITS) -> dict[str, FigureSpec]:
    """Return the specifications of all figures of a run by name, in the order of the report."""
    return {**training_figures(trait_names), **attention_figures()}


def several_run_figures() -> dict[str, FigureSpec]:
    """Return the figures that compare more than two runs: name -> specification.

    The required input is `comparisons`: comparisons of each run with the first, as JSON values.
    """
    return registry(several_runs.FIGURE)


def comparison_figures() -> dict[str, FigureSpec]:
    """Return the figures that compare two runs: name -> specification."""
    return registry(*comparison.FIGURES)
