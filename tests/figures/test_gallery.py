"""Draw a set of figures, and write the image files."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imsave
from PIL import Image

from pipeline.core.errors import PipelineError
from pipeline.figures.base.spec import FigureSpec, NothingToDraw, Unavailable
from pipeline.figures.base.style import PAPER, SCREEN
from pipeline.figures.gallery import (
    DEFAULT_FIGURES,
    attention_figures,
    check_formats,
    comparison_figures,
    default_figures,
    draw_gallery,
    is_blank,
    save_figure,
    training_figures,
)
from tests.figures.conftest import make_history, make_time_logs, records_of


def only(*names):
    return {name: spec for name, spec in training_figures().items() if name in names}


def test_every_figure_is_written(specs, inputs, tmp_path):
    small = dataclasses.replace(SCREEN, dpi=30)
    gallery = draw_gallery(specs, records_of(inputs), tmp_path, style=small)
    assert gallery.omitted == ()
    for figure in gallery.drawn:
        (path,) = figure.paths
        assert path == tmp_path / figure.spec.folder / f"{figure.spec.name}.png"
        assert not is_blank(path)


def test_the_default_figures_exist(specs):
    assert {*default_figures(specs)} == DEFAULT_FIGURES
    assert len(DEFAULT_FIGURES) == 12


def test_the_reason_names_a_missing_input(inputs, tmp_path):
    inputs = records_of(inputs | {"evaluation": None})
    (omitted,) = draw_gallery(only("scores_and_baselines"), inputs, tmp_path).omitted
    assert "evaluation.json" in omitted.reason
    assert not omitted.is_fault


def test_a_damaged_input_prevents_only_the_figures_that_need_it(inputs, tmp_path):
    inputs["lr_logs"] = Unavailable(reason="lr_logs.json: cannot be read as JSON.")
    names = ("training_dashboard", "learning_rate_changes", "train_val_mae")
    gallery = draw_gallery(only(*names), records_of(inputs), tmp_path)
    assert {figure.spec.name for figure in gallery.drawn} == {"training_dashboard", "train_val_mae"}
    assert [figure.reason for figure in gallery.faults] == ["lr_logs.json: cannot be read as JSON."]


@pytest.mark.parametrize("figures", [training_figures, attention_figures, comparison_figures])
def test_a_run_before_its_first_epoch_has_no_fault(figures, tmp_path):
    inputs = records_of({"history": make_history(0), "time_logs": make_time_logs(0)})
    gallery = draw_gallery(figures(), inputs, tmp_path)
    assert (gallery.drawn, gallery.faults) == ((), ())


def spec(data=lambda x, y=None: (x, y)):
    texts = {"name": "a", "folder": "f", "title": "t", "caption": "c"}
    return FigureSpec(data=data, draw=len, alt_text=str, **texts)


@pytest.mark.parametrize(
    ("optional", "expected"),
    [({"y": 2, "z": 3}, 2), ({}, None), ({"y": None}, None), ({"y": Unavailable(reason="")}, None)],
)
def test_an_optional_input_may_be_missing(optional, expected):
    assert spec().build_data({"x": 1, **optional}) == (1, expected)


@pytest.mark.parametrize("error", [PipelineError, NothingToDraw])
def test_only_a_damaged_required_input_prevents_the_figure(error):
    def data(x, y=None):
        if "damaged" in (x, y):
            raise error("an input is damaged")
        return x

    assert spec(data=data).build_data({"x": 1, "y": "damaged"}) == 1
    with pytest.raises(error, match="an input is damaged"):
        spec(data=data).build_data({"x": "damaged", "y": 2})


def small_figure():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2, 3])
    return figure


def test_each_format_has_one_file_with_reproducible_bytes(tmp_path):
    options = {"formats": ("png", "svg", "pdf"), "alt_text": "é → 1"}
    paths = save_figure(small_figure(), tmp_path / "a" / "clip.001", **options)
    assert [path.name for path in paths] == ["clip.001.png", "clip.001.svg", "clip.001.pdf"]
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert set((tmp_path / "a").iterdir()) == set(paths)
    again = save_figure(small_figure(), tmp_path / "b", **options)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    assert "<dc:description>é→1</dc:description>" in "".join(paths[1].read_text().split())


def test_an_image_contains_its_alt_text_and_has_the_right_size(tmp_path):
    (path,) = save_figure(small_figure(), tmp_path / "a", style=PAPER, alt_text="R² falls → 0")
    with Image.open(path) as image:
        assert image.text == {"Description": "R² falls → 0"}
        assert image.size == (2 * PAPER.dpi, 1 * PAPER.dpi)


@pytest.mark.parametrize("formats", [("gif",), ("png", "jpg"), ()])
def test_an_unknown_format_raises_an_error_before_a_file_is_written(tmp_path, formats):
    with pytest.raises(PipelineError, match="png, svg, pdf"):
        draw_gallery(training_figures(), {}, tmp_path, formats=formats)
    assert not list(tmp_path.iterdir())
    assert check_formats(["png", "svg", "png"]) == ("png", "svg")


@pytest.mark.parametrize(("grey", "expected"), [(0.5, True), (0.0, False)])
def test_an_image_of_one_colour_is_blank(tmp_path, grey, expected):
    pixels = np.full((4, 5, 3), 0.5)
    pixels[2, 3] = grey
    imsave(tmp_path / "a.png", pixels)
    assert is_blank(tmp_path / "a.png") is expected


@pytest.mark.parametrize("length", [0, 60])
def test_the_error_names_an_unreadable_image(tmp_path, length):
    path = tmp_path / "a.png"
    imsave(path, np.full((40, 50, 3), 0.5))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PipelineError, match=r"a\.png: cannot be read as an image"):
        is_blank(path)
