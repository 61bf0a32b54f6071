import pytest

from pipeline.config.schema import DataConfig
from pipeline.core.errors import ConfigError
from pipeline.core.run_directory import RunDirectory
from pipeline.workflows.predict import check_no_run_file, check_no_source, predict_clips


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A directory with one file, below the working directory."""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "static.npy").touch()
    (tmp_path / "link").symlink_to(tmp_path / "inputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "inputs"


@pytest.mark.parametrize(
    "explain", ["inputs/same.csv", "inputs/../inputs/same.csv", "link/same.csv"]
)
def test_one_file_for_scores_and_attention_is_an_error(inputs, explain):
    outputs = {"output": inputs / "same.csv", "explain": inputs.parent / explain}
    with pytest.raises(ConfigError, match=r"same\.csv.*--output.*--explain"):
        predict_clips(DataConfig(), run_dir=inputs, **outputs)


@pytest.mark.parametrize(
    ("output", "source"),
    [
        ("inputs/static.npy", "inputs/static.npy"),
        ("link/static.npy", "inputs/static.npy"),
        ("inputs/static.npy", "inputs"),
    ],
)
def test_an_output_over_an_input_is_an_error(inputs, output, source):
    paths = (inputs.parent / "new.csv", inputs.parent / output)
    with pytest.raises(ConfigError, match=r"static\.npy: exists already"):
        check_no_source(paths, [inputs.relative_to(inputs.parent).parent / source])


def test_a_new_output_beside_inputs_is_accepted(inputs):
    check_no_source([inputs / "scores.npy"], [inputs, inputs / "static.npy"])


@pytest.mark.parametrize("name", ["split.csv", "predictions/validation.csv"])
def test_an_output_over_a_file_of_the_run_is_an_error(tmp_path, name):
    check_no_run_file([tmp_path / "scores.csv"], RunDirectory(tmp_path))
    with pytest.raises(ConfigError, match=name):
        check_no_run_file([tmp_path / name], RunDirectory(tmp_path))
