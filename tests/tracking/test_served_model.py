"""The model behind `mlflow models serve`, called over HTTP."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest

from tests.loopback import free_port, wait_for_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(logged, tmp_path_factory):
    """URL of a server for the model."""
    uri, _ = logged
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
        cwd=tmp_path_factory.mktemp("served"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # `killpg` also ends the worker processes of the server
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def post(address, body):
    """Post JSON; return the status and the answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
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


def test_a_mask_is_optional(address, model_inputs):
    streams = {name: model_inputs[name] for name in ("static", "dynamic")}
    status, expected = post(address, as_json({**streams, "static_mask": np.ones((2, 5))}))
    assert status == 200
    assert post(address, as_json(streams)) == (200, expected)


INVALID = {
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
    "unknown input": (
        lambda inputs: as_json({**inputs, "a": inputs["static"]}),
        "the model has no input 'a'",
    ),
    "table": (
        lambda _: {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
        "must be a dictionary with 'inputs' key",
    ),
    "no names": (lambda _: {"inputs": [[1, 2]]}, "the inputs have no names"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_request_gets_status_400_and_one_line(address, model_inputs, case):
    make, part = INVALID[case]
    status, answer = post(address, make(model_inputs))
    assert status == 400, answer
    assert part in answer["message"]
    assert len(answer["message"].splitlines()) == 1
    assert "array(" not in answer["message"]
    assert post(address, as_json(model_inputs))[0] == 200


def test_the_packaged_model_contains_no_pickle(logged, tmp_path):
    mlflow.set_tracking_uri(logged[0])
    mlflow.artifacts.download_artifacts("models:/ocean@champion", dst_path=str(tmp_path))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    # A server that loads the code from a local store writes byte code there.
    suffixes = {file.suffix for file in files if file.parent.name != "__pycache__"}
    assert suffixes & {".pkl", ".pickle", ".joblib", ".pyc"} == set()
    assert ".keras" in suffixes
