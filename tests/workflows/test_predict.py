import pytest

from pipeline.config.schema import DataConfig
from pipeline.core.errors import ConfigError
from pipeline.core.run_directory import RunDirectory
from pipeline.workflows.predict import check_no_run_file, check_no_source, predict_clips


@pytest.fixture
def clob(tmp_path, monkeypatch):
    """A directory with one file, below the working directory."""
    (tmp_path / "clob").mkdir()
    (tmp_path / "clob" / "static.npy").touch()
    (tmp_path / "link").symlink_to(tmp_path / "clob")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "clob"


@pytest.mark.parametrize("explain", ["clob/same.csv", "clob/../clob/same.csv", "link/same.csv"])
def test_one_file_for_scores_and_attention_is_an_error(clob, explain):
    outputs = {"output": clob / "same.csv", "explain": clob.parent / explain}
    with pytest.raises(ConfigError, match=r"same\.csv.*--output.*--explain"):
        predict_clips(DataConfig(), run_dir=clob, **outputs)


@pytest.mark.parametrize(
    ("output", "source"),
    [
        ("clob/static.npy", "clob/static.npy"),
        ("link/static.npy", "clob/static.npy"),
        ("clob/static.npy", "clob"),
    ],
)
def test_an_output_over_an_input_is_an_error(clob, output, source):
    paths = (clob.parent / "new.csv", clob.parent / output)
    with pytest.raises(ConfigError, match=r"static\.npy: exists already"):
        check_no_source(paths, [clob.relative_to(clob.parent).parent / source])


def test_a_new_output_beside_inputs_is_accepted(clob):
    check_no_source([clob / "scores.npy"], [clob, clob / "static.npy"])


@pytest.mark.parametrize("name", ["split.csv", "predictions/validation.csv"])
def test_an_output_over_a_file_of_the_run_is_an_error(tmp_path, name):
    check_no_run_file([tmp_path / "scores.csv"], RunDirectory(tmp_path))
    with pytest.raises(ConfigError, match=name):
        check_no_run_file([tmp_path / name], RunDirectory(tmp_path))
