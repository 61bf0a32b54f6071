"""All figures of a search, drawn of searches of every kind."""

import contextlib
import copy
import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.figures.gallery import draw_gallery
from pipeline.figures.search import search_figures
from pipeline.figures.search_study import read_study
from pipeline.figures.spec import NothingToDraw, Unavailable
from pipeline.figures.style import PAPER, SCREEN
from tests.figures.search_studies import study, study_content

NAMES = (
    "optimization_history",
    "parameter_importances",
    "slice",
    "contour",
    "parallel_coordinates",
    "intermediate_values",
    "pareto_front",
    "search_timeline",
)
STUDIES = {
    "no trial": {"num_trials": 0},
    "one trial": {"num_trials": 1},
    "few trials": {"num_trials": 8},
    "some trials": {"num_trials": 40},
    "many trials": {"num_trials": 300, "num_workers": 20},
    "one parameter": {"num_trials": 40, "num_parameters": 1},
    "many parameters": {"num_trials": 60, "num_parameters": 12},
    "no parameters": {"num_trials": 5, "num_parameters": 0},
    "two objectives": {"num_trials": 60, "objectives": ("accuracy", "weights")},
    "all failed": {"num_trials": 12, "share_failed": 1.0},
    "diverged": {"num_trials": 40, "diverged": (1e6, 37.0)},
    "two objectives, diverged": {
        "num_trials": 60,
        "objectives": ("mae", "latency_ms"),
        "diverged": (1e6,),
    },
    "continued": {"num_trials": 30, "pause_seconds": 5e4, "num_workers": 2},
}
SMALL = dataclasses.replace(SCREEN, dpi=30)
JUNK = st.sampled_from(
    [None, "text", 0, 5, -1.5, float("inf"), [], {}, [[1.0]], ["a"], [0.0] * 4, {"a": 1}, True]
)


def ticks_on(axis):
    """The labels of an axis that lie between its ends: others are not drawn."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def texts_on(figure):
    """Every text of a figure that is seen, with its box in pixels."""
    figure.canvas.draw()
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += [*axes.texts]
        if axes.axison:
            texts += [axes.xaxis.label, axes.yaxis.label]
            texts += [axes.title, axes._left_title, axes._right_title]
            texts += [*ticks_on(axes.xaxis), *ticks_on(axes.yaxis)]
    return [
        (text.get_text(), text.get_window_extent())
        for text in texts
        if text.get_text().strip() and text.get_visible()
    ]


def drawable(found):
    """The numbers of the figures that a study allows, by name."""
    numbers = {}
    for name, spec in search_figures().items():
        with contextlib.suppress(NothingToDraw):
            numbers[name] = spec.build_data({"study": found})
    return numbers


def test_the_figures_have_their_names_and_their_folder():
    figures = search_figures()

    assert tuple(figures) == NAMES
    assert {spec.folder for spec in figures.values()} == {"search_visualizations"}
    assert all(spec.needs == ("study",) for spec in figures.values())


def test_captions_and_titles_are_there():
    for spec in search_figures().values():
        assert spec.caption.endswith(".")
        assert spec.title[0].isupper()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "style"),
    [
        *((kind, SCREEN) for kind in STUDIES),
        *((kind, PAPER) for kind in ("some trials", "many parameters", "two objectives, diverged")),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_no_text_leaves_its_figure(kind, style):
    style = dataclasses.replace(style, dpi=40)
    outside = []
    for name, data in drawable(study(**STUDIES[kind])).items():
        with style.applied():
            figure = search_figures()[name].draw(data, style)
            found = texts_on(figure)
        width, height = figure.canvas.get_width_height()
        outside += [
            (name, text)
            for text, box in found
            if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
        ]
    assert not outside


@pytest.mark.parametrize("kind", STUDIES)
def test_alt_texts_are_sentences_with_numbers(kind):
    for name, data in drawable(study(**STUDIES[kind])).items():
        sentence = search_figures()[name].alt_text(data)
        assert sentence.endswith(".")
        assert any(letter.isdigit() for letter in sentence)
        assert "nan" not in sentence


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [
        ("no trial", set()),
        ("one trial", {"optimization_history", "intermediate_values", "search_timeline"}),
        ("some trials", {*NAMES} - {"pareto_front"}),
        ("one parameter", {*NAMES} - {"pareto_front", "contour", "parameter_importances"}),
        ("two objectives", {*NAMES} - {"intermediate_values"}),
        ("all failed", {"intermediate_values", "search_timeline"}),
    ],
)
def test_what_a_search_allows_is_drawn_and_nothing_missing_is_a_fault(kind, drawn, tmp_path):
    inputs = {"study": study(**STUDIES[kind])}

    gallery = draw_gallery(search_figures(), inputs, tmp_path, style=SMALL)

    assert {figure.spec.name for figure in gallery.drawn} == drawn
    assert gallery.faults == ()


def test_a_damaged_record_is_a_fault_of_every_figure(tmp_path):
    inputs = {"study": Unavailable(reason="study.json: is damaged.")}

    gallery = draw_gallery(search_figures(), inputs, tmp_path)

    assert [figure.reason for figure in gallery.faults] == ["study.json: is damaged."] * len(NAMES)


def test_the_same_search_is_drawn_as_the_same_bytes(tmp_path):
    for folder in ("first", "second"):
        inputs = {"study": study(20)}
        draw_gallery(search_figures(), inputs, tmp_path / folder, style=SMALL)

    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).rglob("*.png")}
        for folder in ("first", "second")
    )
    assert first == second
    assert first


def places_of(value, path=()):
    """Every place in nested JSON, as a path of keys; the first place stands for a whole list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places_of(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from places_of(value[0], (*path, 0))


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_in_the_record_gives_a_figure_or_a_clear_refusal(data, tmp_path):
    content = copy.deepcopy(study_content(12, num_parameters=5))
    *parents, key = data.draw(st.sampled_from(list(places_of(content))))
    place = content
    for parent in parents:
        place = place[parent]
    place[key] = data.draw(JUNK)
    path = tmp_path / "study.json"
    path.write_text(json.dumps(content))
    try:
        found = read_study(path)
    except PipelineError as error:
        assert "study.json" in str(error)  # noqa: PT017 (one of two sound outcomes)
        return
    gallery = draw_gallery(
        {name: search_figures()[name] for name in data.draw(st.permutations(NAMES))[:1]},
        {"study": found},
        tmp_path,
        style=SMALL,
    )
    assert all("\n" not in figure.reason for figure in gallery.omitted)
