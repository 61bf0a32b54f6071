"""Load models from files, runs and MLflow; tests/end_to_end tests packaged models."""

import numpy as np
import pytest

import pipeline
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory

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
def test_a_model_is_loaded_from_a_file_or_a_run(run_dir, network, kind, place):
    inputs = [np.ones((2, 3), np.float32), np.ones((2, 4), np.float32)]
    loaded = pipeline.load_model(kind(run_dir / place))
    np.testing.assert_array_equal(loaded.predict_on_batch(inputs), network.predict_on_batch(inputs))


def test_a_uri_is_downloaded_from_mlflow(run_dir, network, monkeypatch):
    uris = []

    def download(uri):
        uris.append(uri)
        return run_dir

    monkeypatch.setattr("pipeline.tracking.existing_runs.download_model", download)
    assert pipeline.load_model("models:/ocean@champion").count_params() == network.count_params()
    assert uris == ["models:/ocean@champion"]


def test_a_search_is_not_a_model(tmp_path):
    from pipeline.workflows.trained_model import load_trained_model

    (tmp_path / "search").mkdir()
    with pytest.raises(RunError, match=r"directory of a search\. Give one .*refits\."):
        load_trained_model(RunDirectory(tmp_path))
