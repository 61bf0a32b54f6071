"""Draw the figures of searches with different trials and objectives."""

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.base.style import PAPER
from pipeline.search.figures import FOLDER, draw_search, search_figures
from pipeline.search.study.study_file import read_study
from tests.search.search_studies import synthetic_study

NAMES = (
    "optimization_history",
    "parameter_importances",
    "slice",
    "contour",
    "parallel_coordinates",
    "intermediate_values",
    "pareto_front",
    "edf",
    "search_timeline",
)
PER_TRIAL = {"optimization_history", "intermediate_values", "search_timeline"}

STUDIES = {
    "no trial": (synthetic_study(0), set()),
    "one trial": (synthetic_study(1), PER_TRIAL),
    "one parameter": (
        synthetic_study(9, num_parameters=1, share_failed=0, share_pruned=0),
        {*NAMES} - {"pareto_front", "contour"},
    ),
    "many parameters": (synthetic_study(30, num_parameters=9), {*NAMES} - {"pareto_front"}),
    "two objectives": (
        synthetic_study(12, objectives=("accuracy", "weights")),
        {*NAMES} - {"intermediate_values"},
    ),
    "all failed": (synthetic_study(6, share_failed=1.0), {"search_timeline"}),
    "diverged": (synthetic_study(20, diverged=(float("inf"), 1e30)), {*NAMES} - {"pareto_front"}),
    "equal values": (synthetic_study(20, diverged=(0.1,) * 20), {*NAMES} - {"pareto_front"}),
}


@pytest.fixture
def make_search(tmp_path):
    """Return a function that writes a run directory with only a `study.json`."""

    def make(content):
        run = RunDirectory(tmp_path / "study")
        write_json(run.study_path, content)
        return run

    return make


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUDIES)
def test_possible_figures_are_drawn_and_other_figures_have_a_reason(kind, make_search):
    content, expected = STUDIES[kind]
    run = make_search(content)

    gallery, page_path = (figures := draw_search(run)).gallery, figures.page_path

    assert tuple(search_figures()) == NAMES
    assert {figure.spec.name for figure in gallery.drawn} == expected
    assert all(content["study"] in figure.alt_text for figure in gallery.drawn)
    assert {path.stem for path in (run.path / FOLDER).glob("*.png")} == expected
    assert gallery.faults == ()
    page = page_path.read_text(encoding="utf-8")
    for name in NAMES:
        assert (f'id="{name}"' in page) == (name in expected)
    for omitted in gallery.omitted:
        assert "\n" not in omitted.reason
        assert f"<li>{omitted.spec.title}: {omitted.reason}</li>" in page


@pytest.mark.slow
def test_files_have_the_given_formats_and_are_reproducible(make_search):
    run = make_search(synthetic_study(2, share_pruned=0, share_failed=0))
    before = dict(mpl.rcParams), mpl.style.library["ggplot"], plt.get_fignums()

    def draw():
        draw_search(run, formats=("svg", "pdf"), style=PAPER)
        return {path.name: path.read_bytes() for path in (run.path / FOLDER).iterdir()}

    first = draw()
    assert {name.rpartition(".")[2] for name in first} == {"svg", "pdf", "html"}
    assert draw() == first
    assert (dict(mpl.rcParams), mpl.style.library["ggplot"], plt.get_fignums()) == before


def test_a_damaged_file_is_the_reason_of_every_missing_figure(make_search):
    run = make_search(synthetic_study(1))
    run.study_path.write_text('{"study": ', encoding="utf-8")

    figures = draw_search(run)

    assert len(figures.gallery.faults) == len(NAMES)
    assert str(run.study_path) in figures.gallery.faults[0].reason
    assert figures.page_path is None


@pytest.fixture
def plot(make_search):
    """Return a function that builds the data of one figure."""

    def build(name, content):
        study = read_study(make_search(content).study_path)
        return search_figures()[name].build_data({"study": study})

    return build


def test_figures_have_the_given_style_and_no_title_in_paper_style(plot):
    figure = plot("optimization_history", synthetic_study(9)).static(PAPER)
    assert figure.get_size_inches()[0] == PAPER.full_width
    assert figure.axes[0].get_facecolor() == (1.0, 1.0, 1.0, 1.0)
    assert figure.get_suptitle() == figure.axes[0].get_title() == ""


def test_all_panels_of_the_slice_have_the_same_colour_scale(plot):
    slices = plot("slice", synthetic_study(30))
    limits = {axes.collections[0].get_clim() for axes in slices.static(PAPER).axes[:-1]}
    assert limits == {(0, max(trial.number for trial in slices.record.complete))}


@pytest.mark.parametrize(("num_trials", "has_legend"), [(5, True), (40, False)])
def test_a_long_legend_is_omitted(plot, num_trials, has_legend):
    figure = plot("intermediate_values", synthetic_study(num_trials)).static(PAPER)
    assert (figure.axes[0].get_legend() is not None) == has_legend


def test_the_pareto_front_has_its_own_colour_on_the_page(plot):
    front = plot("pareto_front", synthetic_study(12, objectives=("accuracy", "weights")))
    points = {trace.name: trace for trace in front.interactive().data}
    assert len(points["Pareto front"].x) == len(front.record.study.best_trials)
    assert points["Pareto front"].marker.color != points["Other trials"].marker.color
