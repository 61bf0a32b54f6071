"""Figures are drawn in several processes, with the same bytes as in one process."""

import os
import pickle
import signal
import time

import matplotlib as mpl
import psutil
import pytest

from pipeline.figures.base.style import SCREEN
from pipeline.figures.gallery import default_figures, draw_gallery, figure_specs
from pipeline.figures.processes import DrawingProcesses
from tests.figures.conftest import records_of


@pytest.fixture
def processes(monkeypatch):
    monkeypatch.setattr("pipeline.figures.processes.num_usable_cores", lambda: 2)
    with DrawingProcesses() as processes:
        processes.start()
        yield processes


def children():
    return [process.pid for process in psutil.Process().children()]


def images(gallery):
    return {
        figure.spec.name: [figure.alt_text, *(path.read_bytes() for path in figure.paths)]
        for figure in gallery.drawn
    }


@pytest.fixture
def draw(inputs, tmp_path):
    """Return a function that draws the default figures, and checks their order."""
    specs = default_figures(figure_specs())
    given = records_of(inputs | {"evaluation": None})

    def draw(folder, processes=None):
        gallery = draw_gallery(
            specs, given, tmp_path / folder, formats=("png", "svg"), processes=processes
        )
        names = [figure.spec.name for figure in gallery.drawn]
        assert names == [name for name in specs if name in names]
        return gallery

    return draw


def test_the_images_equal_those_of_one_process(draw, processes):
    with mpl.rc_context({"axes.labelcolor": "red", "axes.labelpad": 9.0}):
        alone, together = draw("alone"), draw("together", processes)
    assert images(together) == images(alone)
    assert [figure.reason for figure in together.omitted] == [
        figure.reason for figure in alone.omitted
    ]


def test_another_process_draws_some_of_the_figures(inputs, processes, tmp_path):
    drawn_here = []

    def draw(name):
        drawn_here.append(name)
        deadline = time.monotonic() + 60
        while not [*tmp_path.rglob("*.png")] and time.monotonic() < deadline:
            time.sleep(0.05)
        return {}

    names = ["train_val_loss", "trait_metrics", "training_dashboard"]
    context = (records_of(inputs), tmp_path, ("png",), SCREEN, {})
    results = processes.draw(draw, names, pickle.dumps(context))
    assert list(results) == names
    assert {path.stem for path in tmp_path.rglob("*.png")} == {*names} - {*drawn_here}
    assert len(drawn_here) < len(names)


def test_figures_are_drawn_if_the_other_process_is_killed(draw, processes):
    for process in children():
        os.kill(process, signal.SIGKILL)
    assert images(draw("together", processes)) == images(draw("alone"))


def test_an_error_of_drawing_is_raised(draw, processes, tmp_path):
    (tmp_path / "together").write_text("not a directory")
    with pytest.raises(OSError, match="together"):
        draw("together", processes)


@pytest.mark.parametrize(("cores", "expected"), [(1, 0), (2, 1), (64, 3)])
def test_there_is_a_process_per_free_core_up_to_three(monkeypatch, cores, expected):
    monkeypatch.setattr("pipeline.figures.processes.num_usable_cores", lambda: cores)
    before = len(children())
    with DrawingProcesses() as processes:
        processes.start()
        processes.start()
        assert len(children()) - before == expected
    assert len(children()) == before
