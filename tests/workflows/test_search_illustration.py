import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.style import PAPER
from pipeline.workflows.illustration import illustrate, open_drawable
from pipeline.workflows.search_illustration import (
    illustrate_search,
    is_search,
    search_problems,
)
from tests.figures.search_studies import study_content

FOLDER = "search_visualizations"


@pytest.fixture
def search(tmp_path):
    """The directory of a search that holds its record, and nothing else."""
    run = RunDirectory(tmp_path / "study")
    write_json(run.study_path, study_content(12, num_parameters=2))
    return run


def test_a_search_is_drawn_from_its_record_alone(search):
    gallery = illustrate_search(search)

    drawn = {path.name for figure in gallery.drawn for path in figure.paths}
    assert drawn == {path.name for path in (search.path / FOLDER).iterdir()}
    assert {"optimization_history.png", "slice.png", "search_timeline.png"} <= drawn
    assert [figure.spec.name for figure in gallery.omitted] == ["pareto_front"]


def test_formats_and_style_are_kept(search):
    illustrate_search(search, formats=("svg", "pdf"), style=PAPER)

    assert {path.suffix for path in (search.path / FOLDER).iterdir()} == {".svg", ".pdf"}


def test_an_unknown_format_is_refused(search):
    with pytest.raises(PipelineError, match="'gif'"):
        illustrate_search(search, formats=("gif",))


def test_a_directory_of_a_search_is_drawn_without_training_figures_and_report(search):
    illustration = illustrate(open_drawable(search.path))

    names = [figure.spec.folder for figure in illustration.gallery.drawn]
    assert set(names) == {FOLDER}
    assert illustration.report_path is None
    assert illustration.problems == ()
    assert not search.report_path.exists()


def test_a_run_without_a_search_says_nothing_of_one(tmp_path):
    run = RunDirectory(tmp_path)
    write_json(run.metrics_dir / "metrics_history.json", {"epoch": {"epoch_numbers": []}})

    gallery = illustrate(run).gallery

    assert not is_search(run)
    folders = {figure.spec.folder for figure in (*gallery.drawn, *gallery.omitted)}
    assert folders
    assert FOLDER not in folders


def test_a_directory_that_holds_both_is_drawn_as_both(search):
    write_json(search.metrics_dir / "metrics_history.json", {"epoch": {"epoch_numbers": []}})

    illustration = illustrate(search)

    folders = {figure.spec.folder for figure in illustration.gallery.omitted}
    assert {FOLDER, "training_visualizations"} <= folders
    assert illustration.report_path is not None
    assert illustration.report_path.exists()


def test_a_damaged_record_is_one_problem_with_its_path(search):
    search.study_path.write_text('{"study": ')

    illustration = illustrate(search)

    (problem,) = illustration.problems
    assert str(search.study_path) in problem
    assert search_problems(illustration.gallery) == (problem,)
    assert illustration.gallery.drawn == ()
