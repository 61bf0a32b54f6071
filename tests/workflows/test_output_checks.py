import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.run_directory import RunDirectory
from pipeline.workflows.output_checks import (
    refuse_files_of_run,
    refuse_one_file_for_both,
    refuse_sources,
)


@pytest.mark.parametrize("explain", ["o/same.csv", "o/../o/same.csv", "link/same.csv"])
def test_scores_and_attention_do_not_go_to_one_file(tmp_path, explain):
    (tmp_path / "o").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "o")
    with pytest.raises(ConfigError, match="given as --output and as --explain"):
        refuse_one_file_for_both(tmp_path / "o" / "same.csv", tmp_path / explain)


@pytest.mark.parametrize("explain", [None, "o/other.csv"])
def test_two_files_are_taken(tmp_path, explain):
    refuse_one_file_for_both(tmp_path / "o.csv", explain and tmp_path / explain)


@pytest.fixture
def clob(tmp_path):
    """A directory with one file."""
    (tmp_path / "clob").mkdir()
    (tmp_path / "clob" / "static.npy").touch()
    return tmp_path / "clob"


def test_what_is_read_is_not_written_over(clob, monkeypatch):
    monkeypatch.chdir(clob.parent)
    for given in (clob / "static.npy", clob.relative_to(clob.parent) / "static.npy"):
        with pytest.raises(ConfigError, match=r"static\.npy: is there already, among the files"):
            refuse_sources([clob / "new.csv", given], [clob / "static.npy"])


def test_what_is_there_in_a_directory_that_is_read_is_not_written_over(clob):
    with pytest.raises(ConfigError, match=r"static\.npy: is there already"):
        refuse_sources([clob / "static.npy"], [clob])


def test_a_new_file_beside_what_is_read_is_taken(clob):
    refuse_sources([clob / "scores.npy"], [clob, clob / "static.npy"])


@pytest.mark.parametrize("name", ["split.csv", "predictions/validation.csv"])
def test_the_files_of_a_run_are_its_own(tmp_path, name):
    with pytest.raises(ConfigError, match="where the run keeps files of its own"):
        refuse_files_of_run([tmp_path / name], RunDirectory(tmp_path))


def test_a_file_of_another_name_may_go_into_a_run(tmp_path):
    refuse_files_of_run([tmp_path / "scores.csv"], RunDirectory(tmp_path))
