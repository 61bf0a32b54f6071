"""Draw Optuna's figures of a search from `study.json`: image files and one interactive page."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import optuna
from matplotlib.figure import Figure
from matplotlib.style import library
from matplotlib.ticker import MaxNLocator
from optuna.importance import BaseImportanceEvaluator

from pipeline.core.errors import PipelineError
from pipeline.core.number_format import count
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.base.spec import FigureSpec, NothingToDraw, Unavailable, registry
from pipeline.figures.base.style import ACCENT, SCREEN, WARNING_COLOUR, Style
from pipeline.figures.gallery import Gallery, draw_gallery
from pipeline.search.page import write_page
from pipeline.search.study.sampling import quiet_optuna
from pipeline.search.study.study_file import StudyRecord, read_study

FOLDER: Final = "search_visualizations"
PAGE_NAME: Final = "search.html"

_MAX_PARAMETERS: Final = 6
_MAX_CONTOUR_PARAMETERS: Final = 3
_MAX_LEGEND_ENTRIES: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OptunaPlot:
    """Plot of a study. Optuna has each plot function twice: for plotly and for matplotlib."""

    record: StudyRecord
    title: str
    function: str
    arguments: Mapping[str, Any]
    height: float
    """Height as a multiple of the width."""
    polish: Callable[[Figure, StudyRecord], None]
    """Function that makes final changes to the matplotlib figure."""

    def interactive(self) -> Any:
        """Draw the plot with plotly."""
        figure = getattr(optuna.visualization, self.function)(**self.arguments)
        figure.update_layout(height=round(960 * self.height))
        if self.function == "plot_pareto_front":
            # By default, early trials are white, even if they belong to the Pareto front.
            for is_best, colour in ((False, ACCENT), (True, WARNING_COLOUR)):
                figure.update_traces(
                    selector=lambda trace, best=is_best: ("Best" in trace.hovertemplate) == best,
                    marker={"color": colour, "showscale": False},
                    name="Pareto front" if is_best else "Other trials",
                    showlegend=True,
                )
        return figure

    def static(self, style: Style) -> Figure:
        """Draw the plot with matplotlib and the current `rcParams`."""
        size = (style.full_width, self.height * style.full_width)
        layout: dict[Any, Any] = {
            "figure.figsize": size,
            "figure.constrained_layout.use": True,
            "axes.grid": False,
        }
        with mpl.rc_context(layout), _quiet_pyplot() as plt:
            getattr(optuna.visualization.matplotlib, self.function)(**self.arguments)
            figure: Figure = plt.gcf()
            plt.close(figure)
        # Some plot functions change the size and the layout, so both are set again.
        figure.set_layout_engine("constrained")
        figure.set_size_inches(size)
        for axes in figure.axes:
            for side in ("left", "center"):
                axes.set_title("", loc=side)
        figure.suptitle(self.title if style.has_title else "")
        self.polish(figure, self.record)
        return figure


class _RecordedImportances(BaseImportanceEvaluator):
    """Evaluator that returns the importances from `study.json`.

    The figure therefore shows the same importances as the other outputs of the search.
    """

    def __init__(self, importances: Mapping[str, float]) -> None:
        self._importances = importances

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        return dict(self._importances)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchFigures:
    """Figures of a search."""

    gallery: Gallery
    page_path: Path | None
    """Path of the page with the interactive figures; None if `study.json` is missing or damaged."""


def search_figures() -> dict[str, FigureSpec]:
    """Return the figures of a search by name, in display order."""
    return registry(
        _spec(
            "optimization_history",
            "Optimization history",
            "First objective of each complete trial, and the best value so far.",
            "plot_optimization_history",
            _complete_arguments,
            polish=_polish_history,
        ),
        _spec(
            "parameter_importances",
            "Parameter importances",
            "Importance of each parameter for the first objective among the better trials "
            "(PED-ANOVA, Watanabe et al., 2023). The sum of the importances is 1.",
            "plot_param_importances",
            _importances_arguments,
        ),
        _spec(
            "slice",
            "Slice",
            "First objective of each complete trial, plotted against each of the "
            f"{_MAX_PARAMETERS} most important parameters. Darker points are later trials.",
            "plot_slice",
            _parameters_arguments,
            polish=_polish_slice,
        ),
        _spec(
            "contour",
            "Contour",
            "First objective as a function of each pair of the "
            f"{_MAX_CONTOUR_PARAMETERS} most important parameters. Points are complete trials. "
            "The surface is interpolated, so it is uncertain between distant points.",
            "plot_contour",
            _contour_arguments,
            height=0.8,
        ),
        _spec(
            "parallel_coordinates",
            "Parallel coordinates",
            "Each line is one complete trial. Axes: the first objective, then the "
            f"{_MAX_PARAMETERS} most important parameters.",
            "plot_parallel_coordinate",
            _parameters_arguments,
            polish=_polish_parallel_coordinates,
        ),
        _spec(
            "intermediate_values",
            "Intermediate values",
            "First objective after each epoch, one line per trial. Pruned trials end earlier.",
            "plot_intermediate_values",
            _intermediate_values_arguments,
            polish=_polish_curves,
        ),
        _spec(
            "pareto_front",
            "Pareto front",
            "Both objectives of each complete trial. For a trial of the Pareto front, every trial "
            "that is better in one objective is worse in the other objective.",
            "plot_pareto_front",
            _pareto_front_arguments,
        ),
        _spec(
            "edf",
            "Empirical distribution",
            "Share of complete trials whose first objective is at most the value on the x axis.",
            "plot_edf",
            lambda record: _complete_arguments(record, 2),
        ),
        _spec(
            "search_timeline",
            "Timeline",
            "Start, duration and final state of each trial, in local time.",
            "plot_timeline",
            _timeline_arguments,
        ),
    )


def draw_search(
    run: RunDirectory, *, formats: tuple[str, ...] = ("png",), style: Style = SCREEN
) -> SearchFigures:
    """Draw each figure for which the search has data, and write the interactive page.

    The only input is `search/study.json` in the run directory. `formats` may contain png, svg and
    pdf.

    Raises:
        PipelineError: If a format is unknown.
    """
    quiet_optuna()
    record: StudyRecord | Unavailable
    try:
        record = read_study(run.study_path)
    except PipelineError as error:
        record = Unavailable(reason=str(error))
    inputs = {"study": record}
    gallery = draw_gallery(search_figures(), inputs, run.path, formats=formats, style=style)
    if isinstance(record, Unavailable):
        return SearchFigures(gallery=gallery, page_path=None)
    page_path = run.path / FOLDER / PAGE_NAME
    write_page(
        page_path,
        title=record.name,
        summary=record.describe(),
        figures=[(drawn, drawn.spec.build_data(inputs).interactive()) for drawn in gallery.drawn],
        omitted=gallery.omitted,
    )
    return SearchFigures(gallery=gallery, page_path=page_path)


def _spec(
    name: str,
    title: str,
    caption: str,
    function: str,
    arguments: Callable[[StudyRecord], dict[str, Any]],
    *,
    height: float = 0.5,
    polish: Callable[[Figure, StudyRecord], None] = lambda figure, record: None,
) -> FigureSpec:
    return FigureSpec(
        name=name,
        folder=FOLDER,
        title=title,
        caption=caption,
        data=lambda study: OptunaPlot(
            record=study,
            title=title,
            function=function,
            arguments=arguments(study),
            height=height,
            polish=polish,
        ),
        draw=OptunaPlot.static,
        alt_text=lambda plot: f"{plot.title} of {plot.record.name}: {plot.record.describe()}",
    )


def _complete_arguments(record: StudyRecord, min_trials: int = 1) -> dict[str, Any]:
    found = len(record.complete)
    if found < min_trials:
        raise NothingToDraw(f"needs {count(min_trials, 'complete trial')}; there are {found}.")
    return {"study": record.first, "target_name": record.objectives[0]}


def _parameters_arguments(record: StudyRecord) -> dict[str, Any]:
    return {**_complete_arguments(record, 2), "params": list(record.parameters[:_MAX_PARAMETERS])}


def _importances_arguments(record: StudyRecord) -> dict[str, Any]:
    if not record.importances:
        raise NothingToDraw(record.importances_note)
    evaluator = _RecordedImportances(record.importances)
    return {**_complete_arguments(record), "evaluator": evaluator}


def _contour_arguments(record: StudyRecord) -> dict[str, Any]:
    arguments = _complete_arguments(record, 3)
    varied = [
        name
        for name in record.parameters
        if len({trial.params[name] for trial in record.complete if name in trial.params}) > 1
    ]
    if len(varied) < 2:
        raise NothingToDraw(f"needs 2 parameters with different values; there are {len(varied)}.")
    return arguments | {"params": varied[:_MAX_CONTOUR_PARAMETERS]}


def _intermediate_values_arguments(record: StudyRecord) -> dict[str, Any]:
    if len(record.objectives) > 1:
        raise NothingToDraw("needs a search with one objective, which reports values per epoch.")
    shown = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    trials = record.first.get_trials(deepcopy=False, states=shown)
    if not any(trial.intermediate_values for trial in trials):
        raise NothingToDraw("needs a complete or pruned trial with values per epoch.")
    return {"study": record.first}


def _pareto_front_arguments(record: StudyRecord) -> dict[str, Any]:
    if len(record.objectives) < 2:
        raise NothingToDraw("needs two objectives; give --search.second_objective.")
    _complete_arguments(record)
    return {"study": record.study, "target_names": list(record.objectives)}


def _timeline_arguments(record: StudyRecord) -> dict[str, Any]:
    if not any(trial.datetime_start for trial in record.study.get_trials(deepcopy=False)):
        raise NothingToDraw("needs a started trial.")
    return {"study": record.study}


def _polish_history(figure: Figure, _: StudyRecord) -> None:
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))


def _polish_slice(figure: Figure, record: StudyRecord) -> None:
    last_number = max(trial.number for trial in record.complete)
    for axes in figure.axes[:-1]:
        axes.tick_params(axis="x", rotation=30)
        # All panels and the colour bar use the same colour scale.
        axes.collections[0].set_clim(0, last_number)


def _polish_parallel_coordinates(figure: Figure, _: StudyRecord) -> None:
    """Draw the vertical axes, with a white background behind the tick labels."""
    for axes in figure.axes[2:]:
        axes.spines["right"].set_visible(True)
        for text in axes.get_yticklabels():
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})


def _polish_curves(figure: Figure, record: StudyRecord) -> None:
    axes = figure.axes[0]
    axes.set(xlabel="Epoch", ylabel=record.objectives[0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = axes.get_legend()
    if legend is not None and len(legend.get_texts()) > _MAX_LEGEND_ENTRIES:
        legend.remove()


@contextlib.contextmanager
def _quiet_pyplot() -> Iterator[Any]:
    """Provide pyplot. In this context, it opens no windows and shows no warnings.

    Optuna's plot functions apply the style `ggplot`. In this context, `ggplot` is empty, so it
    changes nothing in the figures.
    """
    from matplotlib import pyplot as plt

    ggplot, backend = library["ggplot"], mpl.get_backend(auto_select=False)
    library["ggplot"] = mpl.RcParams()
    plt.switch_backend("agg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant values cause warnings
            yield plt
    finally:
        library["ggplot"] = ggplot
        if backend is not None:
            plt.switch_backend(backend)
