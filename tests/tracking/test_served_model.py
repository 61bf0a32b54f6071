"""The model behind `mlflow models serve`, called over HTTP."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest

from pipeline.evaluation.intervals.conformal import calibrate
from pipeline.records.calibration import write_calibration
from pipeline.tracking.log_model import log_model
from tests.loopback import free_port, wait_for_server
from tests.tracking.conftest import make_tracked_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calibration():
    numbers = np.random.default_rng(1)
    return calibrate(
        numbers.random((20, 5)), numbers.random((20, 5)), [f"g{index}" for index in range(20)]
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory, empty_database, network, model_inputs, calibration):
    """Directory and URI of the store of a registered model."""
    directory = tmp_path_factory.mktemp("served")
    shutil.copy(empty_database, directory / "mlflow.db")
    uri = f"sqlite:///{directory / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)  # MLflow stores the artifacts there
        run, run_id = make_tracked_model(directory / "run", uri, network, model_inputs)
        write_calibration(run.calibration_path, calibration)
        log_model(run, run_id, registered_name="ocean", alias="champion")
    return directory, uri


@pytest.fixture(scope="module")
def address(served):
    """URL of a server of the model."""
    directory, uri = served
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # `--env-manager local` starts the server with the programs of PATH.
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
        "MLFLOW_TRACKING_URI": uri,
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"),
            *("-m", "models:/ocean@champion", "--host", "127.0.0.1", "--port", str(port)),
        ],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # the server starts workers: they are signalled together
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def post(address, body):
    """Post JSON; return the status and the answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def as_json(inputs):
    return {"inputs": {name: values.tolist() for name, values in inputs.items()}}


def test_a_request_gets_the_scores_of_the_model(address, model_inputs, network):
    status, answer = post(address, as_json(model_inputs))
    assert status == 200
    np.testing.assert_allclose(
        answer["predictions"], network.predict(model_inputs, verbose=0), rtol=0, atol=1e-7
    )


def test_a_request_with_the_parameter_gets_intervals(address, model_inputs, network, calibration):
    status, answer = post(address, {**as_json(model_inputs), "params": {"intervals": True}})
    assert status == 200
    scores = network.predict(model_inputs, verbose=0)
    expected = np.stack([scores, *calibration.intervals(scores)], axis=-1)
    np.testing.assert_allclose(answer["predictions"], expected, rtol=0, atol=1e-7)


def without(inputs, name):
    return {key: values for key, values in inputs.items() if key != name}


def test_a_mask_is_optional(address, model_inputs):
    ones = {**model_inputs, "static_mask": np.ones((2, 5))}
    status, expected = post(address, as_json(ones))
    assert status == 200
    status, answer = post(address, as_json(without(model_inputs, "static_mask")))
    assert status == 200
    assert answer == expected


INVALID = {
    "shape": (
        lambda inputs: as_json({**inputs, "static": inputs["static"][..., :2]}),
        "static has the shape (2, 5, 2), expected (clips, 5, 3)",
    ),
    "NaN": (
        lambda inputs: as_json({**inputs, "dynamic": np.full((2, 4), np.nan)}),
        "dynamic contains a value that is not finite",
    ),
    "integer beyond any float": (
        lambda inputs: {"inputs": {**as_json(inputs)["inputs"], "dynamic": [[10**400] * 4] * 2}},
        "dynamic must contain numbers",
    ),
    "extreme value": (
        lambda inputs: as_json({**inputs, "dynamic": np.full((2, 4), 1e37)}),
        "dynamic of row 0 is 10000 standard deviations or more from the training clips",
    ),
    "text": (
        lambda inputs: {"inputs": {**as_json(inputs)["inputs"], "dynamic": [["a"] * 4] * 2}},
        "could not convert string to float",
    ),
    "rows of different widths": (
        lambda inputs: {"inputs": {**as_json(inputs)["inputs"], "dynamic": [[1, 2], [1, 2, 3]]}},
        "inhomogeneous",
    ),
    "missing stream": (
        lambda inputs: as_json(without(inputs, "dynamic")),
        "dynamic is missing; expected",
    ),
    "unknown input": (
        lambda inputs: as_json({**inputs, "a": inputs["static"]}),
        "the model has no input 'a'",
    ),
    "table": (
        lambda _: {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
        "must be a dictionary with 'inputs' key",
    ),
    "no names": (lambda _: {"inputs": [[1, 2]]}, "the inputs have no names"),
    "no inputs": (lambda _: {"clips": []}, "inputs"),
    "no JSON": (lambda _: b"{", "JSON"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_request_gets_status_400_and_one_line(address, model_inputs, case):
    make, part = INVALID[case]
    status, answer = post(address, make(model_inputs))
    assert status == 400, answer
    assert part in answer["message"]
    assert case == "no JSON" or len(answer["message"].splitlines()) == 1
    assert "array(" not in answer["message"]
    assert post(address, as_json(model_inputs))[0] == 200


def test_the_packaged_model_contains_no_pickle(served):
    directory, uri = served
    mlflow.set_tracking_uri(uri)
    copy = directory / "copy"
    mlflow.artifacts.download_artifacts("models:/ocean@champion", dst_path=str(copy))
    files = [file for file in copy.rglob("*") if file.is_file()]
    # A server that loads the code from a store on this machine leaves its byte code there.
    suffixes = {file.suffix for file in files if file.parent.name != "__pycache__"}
    assert suffixes & {".pkl", ".pickle", ".joblib", ".pyc"} == set()
    assert ".keras" in suffixes
