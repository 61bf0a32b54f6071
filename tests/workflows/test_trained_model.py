"""A model is found wherever it is kept; what travels with it is tested by tests/end_to_end."""

import numpy as np
import pytest

import pipeline
from pipeline.core.errors import ModelError, RunError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    return pipeline.CompletePersonalityModel(3, 4, fusion_dim=8, num_heads=2)


@pytest.fixture
def run_dir(tmp_path, network):
    from pipeline.models.persistence import save_model

    save_model(network, tmp_path / "run" / "model.keras")
    return tmp_path / "run"


@pytest.mark.parametrize("kind", [str, lambda path: path])
@pytest.mark.parametrize("place", ["", "model.keras"])
def test_a_model_is_loaded_from_a_file_or_its_run_named_by_text_or_path(
    run_dir, network, kind, place
):
    inputs = [np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)]
    loaded = pipeline.load_model(kind(run_dir / place))
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), network.predict_on_batch(inputs))


def test_a_uri_is_fetched_from_mlflow(run_dir, network, monkeypatch):
    from pipeline.workflows import trained_model

    fetched = []

    def download(uri):
        fetched.append(uri)
        return run_dir

    monkeypatch.setattr(trained_model, "download_model", download)
    assert pipeline.load_model("models:/ocean@champion").count_params() == network.count_params()
    assert fetched == ["models:/ocean@champion"]


def test_a_run_without_a_model_is_refused_by_the_file_that_is_missing(tmp_path):
    with pytest.raises(ModelError, match=r"model\.keras: there is no such file"):
        pipeline.load_model(tmp_path)


def test_a_search_is_no_model_and_says_where_its_models_are(tmp_path):
    from pipeline.core.run_directory import RunDirectory
    from pipeline.workflows.trained_model import load_trained_model

    (tmp_path / "search").mkdir()
    with pytest.raises(RunError, match=r"is a search\. Its models are in .*refits: give one"):
        load_trained_model(RunDirectory(tmp_path))


def test_a_path_that_is_not_there_is_no_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="there is no such file"):
        pipeline.load_model("runs/no/model.keras")


def test_a_uri_of_nothing_is_refused_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    with pytest.raises(RunError, match="models:/nobody/1: the model cannot be fetched"):
        pipeline.load_model("models:/nobody/1")
