import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import pipeline
from pipeline.core.files import write_arrays
from pipeline.core.run_log import RunLog
from pipeline.core.traits import TRAITS
from pipeline.tracking.existing_runs import download_model, log_evaluation
from pipeline.tracking.log_model import log_model
from pipeline.tracking.mirror import Mirror
from tests.tracking.conftest import make_tracked_model

pytestmark = pytest.mark.slow

LOAD = """
import sys
import mlflow, numpy as np

model = mlflow.pyfunc.load_model(sys.argv[1])
with np.load(sys.argv[2]) as arrays:
    np.save(sys.argv[3], model.predict({name: arrays[name] for name in arrays.files}))
"""


REQUIRED_ONLY = """
import importlib.metadata, importlib.abc, re, sys

class Blocker(importlib.abc.MetaPathFinder):
    def __init__(self, required):
        installed, todo = set(), list(required)
        while todo:
            name = re.split(r"[ ;<>=!~\\[(]", todo.pop())[0].lower().replace("_", "-")
            if name in installed:
                continue
            installed.add(name)
            try:
                needs = importlib.metadata.requires(name) or ()
            except importlib.metadata.PackageNotFoundError:
                continue  # for another system
            todo += [need for need in needs if "extra ==" not in need]
        self._installed = installed
        self._owners = importlib.metadata.packages_distributions()
        self._owners.pop("pipeline", None)  # the model has its own copy

    def find_spec(self, name, path=None, target=None):
        owners = {each.lower().replace("_", "-") for each in self._owners.get(name, ())}
        if path is None and owners and not owners & self._installed:
            raise ImportError(f"the model does not require {name} from {owners}")
        return None

with open(sys.argv.pop(1)) as lines:
    sys.meta_path.insert(0, Blocker([line.strip() for line in lines]))
try:
    import optuna
except ImportError:
    pass
else:
    raise AssertionError("the blocker has no effect")
"""

FROM_THE_MODEL = """
import pipeline

installed = sys.argv[4]
assert not pipeline.__file__.startswith(installed), f"the model uses {pipeline.__file__}"
"""


@pytest.fixture
def tracked(tmp_path, store_uri, network, model_inputs):
    return make_tracked_model(tmp_path / "run", store_uri, network, model_inputs)


@pytest.fixture
def model_uri(logged):
    uri, run_id = logged
    mlflow.set_tracking_uri(uri)
    return f"runs:/{run_id}/first"  # `first` is the name of the run


def logged_models(client, run_id):
    outputs = client.get_run(run_id).outputs
    return [client.get_logged_model(each.model_id) for each in outputs.model_outputs]


def test_the_model_describes_its_inputs_and_outputs(model_uri):
    info = mlflow.models.get_model_info(model_uri)
    assert info.metadata["inputs"] == {
        "static": {"shape": [-1, 5, 3], "required": True},
        "dynamic": {"shape": [-1, 4], "required": True},
        "static_mask": {"shape": [-1, 5], "required": False},
    }
    assert [trait["name"] for trait in info.metadata["traits"]] == list(TRAITS)
    assert "emotionally stable" in info.metadata["traits"][4]["note"]
    assert "Neuroticism is scored in reverse" in info.metadata["description"]
    assert [tensor.name for tensor in info.signature.inputs][:2] == ["static", "dynamic"]
    assert [parameter.name for parameter in info.signature.params] == ["intervals"]
    assert info.signature.outputs.input_names() == list(TRAITS)


def test_the_model_has_an_input_example(model_uri, model_inputs):
    example = mlflow.models.Model.load(model_uri).load_input_example(model_uri)
    assert example.keys() == model_inputs.keys()
    for name, values in example.items():
        np.testing.assert_array_equal(np.asarray(values, np.float32), model_inputs[name])


def test_the_model_is_not_loaded_while_it_is_logged(tracked, monkeypatch):
    loaded = []
    monkeypatch.setattr("mlflow.pyfunc.load_model", lambda *_, **__: loaded.append(1))
    run, run_id = tracked
    log_model(run, run_id, registered_name="")
    assert mlflow.models.get_model_info(f"runs:/{run_id}/first").saved_input_example_info
    assert not loaded


def test_a_large_input_example_is_left_out(tracked, client, monkeypatch):
    run, run_id = tracked
    monkeypatch.setattr("pipeline.tracking.log_model.MAX_EXAMPLE_BYTES", 100)
    log_model(run, run_id, registered_name="")
    info = mlflow.models.get_model_info(f"runs:/{run_id}/first")
    assert info.saved_input_example_info is None
    assert [tensor.name for tensor in info.signature.inputs][:2] == ["static", "dynamic"]


def test_scores_are_equal_with_only_the_requirements_of_the_model(
    model_uri, network, model_inputs, tmp_path
):
    write_arrays(tmp_path / "inputs.npz", model_inputs)
    requirements = mlflow.pyfunc.get_model_dependencies(model_uri)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    loaded = subprocess.run(
        [
            *(sys.executable, "-c", REQUIRED_ONLY + LOAD + FROM_THE_MODEL),
            *(requirements, model_uri, tmp_path / "inputs.npz", tmp_path / "scores.npy"),
            Path(pipeline.__file__).parent,
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert "Add type hints" not in loaded.stderr
    expected = network.predict(model_inputs, verbose=0)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), expected)


def test_the_model_is_in_the_experiment_of_its_run_not_the_active_one(tracked, client, monkeypatch):
    run, run_id = tracked
    another = client.create_experiment("another")
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", another)
    log_model(run, run_id, registered_name="")
    (model,) = logged_models(client, run_id)
    assert model.experiment_id == client.get_run(run_id).info.experiment_id


def test_logging_a_model_does_not_end_the_run(logged):
    uri, run_id = logged
    assert MlflowClient(tracking_uri=uri).get_run(run_id).info.status == "RUNNING"


def test_an_existing_model_is_not_logged_again_but_gets_the_alias(tracked, client):
    run, run_id = tracked
    log_model(run, run_id, registered_name="ocean")
    log_model(run, run_id, registered_name="ocean", alias="best")
    assert len(logged_models(client, run_id)) == 1
    assert len(client.search_model_versions("name = 'ocean'")) == 1
    assert client.get_model_version_by_alias("ocean", "best").run_id == run_id


def test_an_incomplete_model_is_logged_again(tracked, client, monkeypatch):
    run, run_id = tracked

    def fail(*_):
        raise MlflowException("the server went down")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_model_artifacts", fail)
        with pytest.raises(MlflowException, match="went down"):
            log_model(run, run_id, registered_name="ocean")
    log_model(run, run_id, registered_name="ocean")
    statuses = sorted(model.status.name for model in logged_models(client, run_id))
    assert statuses == ["FAILED", "READY"]
    (version,) = client.search_model_versions("name = 'ocean'")
    assert download_model(f"models:/ocean/{version.version}")


def test_the_model_has_the_files_for_evaluation(model_uri):
    artifacts = download_model(model_uri)
    assert {path.name for path in artifacts.iterdir()} == {
        "config.yaml",
        "conformal.json",
        "data.json",
        "model.keras",
        "split.csv",
    }


def test_an_evaluation_is_logged_to_the_run_of_the_model(logged, model_uri, tmp_path):
    uri, run_id = logged
    client = MlflowClient(tracking_uri=uri)
    (tmp_path / "evaluation.json").write_text("{}")
    (tmp_path / "test.csv").write_text("clip_id\n")
    paths = {"": tmp_path / "evaluation.json", "predictions": tmp_path / "test.csv"}
    metrics = {"evaluation/test/mae/mean": 0.1}
    assert log_evaluation(model_uri, paths, metrics, dataset=("faces", "0" * 64)) is None
    assert client.get_run(run_id).data.metrics["more/test/mae"] == 0.1
    (model,) = logged_models(client, run_id)
    (metric,) = [each for each in model.metrics if each.key == "more/test/mae"]
    assert metric.dataset_name == "faces (test)"
    found = [each.path for each in client.list_artifacts(run_id, "predictions")]
    assert found == ["predictions/test.csv"]


def test_scores_are_linked_to_the_model_and_to_the_data_on_which_they_were_measured(
    tracked, client
):
    run, run_id = tracked
    run_log = RunLog(run.run_log_path)
    data = {"source": "features", "profile": {}}
    run_log.log_dataset(name="faces", digest="1" * 64, splits={"validation": 2}, **data)
    run_log.log_metrics({"evaluation/validation/r2/mean": 0.5, "reference/validation/r2/ridge": 0})
    run_log.log_model(registered_model="", alias="")
    Mirror(run).deliver()
    for number in range(2, 5):  # later evaluations
        digest = str(number) * 64
        run_log.log_dataset(name="others", digest=digest, splits={"validation": 2}, **data)
        scores = {f"evaluation/validation/score_{each}/mean": 0.5 for each in range(40)}
        run_log.log_metrics({"evaluation/validation/r2/mean": 0.1 * number, **scores})
        assert Mirror(run).deliver() is None
    (model,) = logged_models(client, run_id)
    found = [
        (metric.value, metric.dataset_name, metric.dataset_digest[0])
        for metric in model.metrics
        if metric.key == "eval/val/r2"
    ]
    assert found == [
        (0.5, "faces (validation)", "1"),
        *((0.1 * number, "others (validation)", str(number)) for number in range(2, 5)),
    ]
    assert not [metric for metric in model.metrics if "ridge" in metric.key]
