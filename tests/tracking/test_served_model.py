"""The packaged model behind `mlflow models serve`, asked over HTTP as a user would."""

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

from pipeline.core.files import write_arrays, write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.evaluation.intervals.conformal import calibrate
from pipeline.records.calibration import write_calibration
from pipeline.tracking.log_model import log_model
from pipeline.tracking.mirror import Mirror
from pipeline.tracking.run_link import Link, read_link, write_link
from tests.loopback import free_port, wait_until_it_answers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    return CompletePersonalityModel(
        3, 4, fusion_dim=8, num_heads=2, static_steps=5, static_masked=True
    )


@pytest.fixture(scope="module")
def calibration():
    numbers = np.random.default_rng(1)
    return calibrate(
        numbers.random((20, 5)), numbers.random((20, 5)), [f"g{index}" for index in range(20)]
    )


@pytest.fixture
def inputs():
    numbers = np.random.default_rng(0)
    mask = np.ones((2, 5), np.float32)
    mask[0, 3:] = 0
    return {
        "static": numbers.normal(size=(2, 5, 3)).astype(np.float32),
        "dynamic": numbers.normal(size=(2, 4)).astype(np.float32),
        "static_mask": mask,
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory, empty_database, network, calibration):
    """The directory and the URI of a registered model, as the run that trained it left it."""
    from pipeline.models.persistence import save_model

    directory = tmp_path_factory.mktemp("served")
    shutil.copy(empty_database, directory / "mlflow.db")
    uri = f"sqlite:///{directory / 'mlflow.db'}"
    run = RunDirectory(directory / "run")
    save_model(network, run.model_path)
    example = {
        tensor.name: np.zeros((1, *tensor.shape[1:]), np.float32) for tensor in network.inputs
    }
    write_arrays(run.input_example_path, example)
    write_text(run.config_path, "seed: 0\n")
    write_text(run.split_path, "clip_id,group,split\n")
    write_calibration(run.calibration_path, calibration)
    write_link(run.tracking_path, Link(tracking_uri=uri, experiment="ocean", run_name="first"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)  # where MLflow keeps artifacts
        Mirror(run).deliver()
        run_id = read_link(run.tracking_path).run_id
        log_model(run, run_id, registered_name="ocean", alias="champion")
    return directory, uri


@pytest.fixture(scope="module")
def address(served):
    """Where a real server of the model listens."""
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
        wait_until_it_answers(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(address, body):
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


def test_a_request_is_answered_with_the_scores_of_the_model(address, inputs, network):
    status, answer = ask(address, as_json(inputs))
    assert status == 200
    np.testing.assert_allclose(
        answer["predictions"], network.predict(inputs, verbose=0), rtol=0, atol=1e-7
    )


def test_intervals_are_given_where_they_are_asked_for(address, inputs, network, calibration):
    status, answer = ask(address, {**as_json(inputs), "params": {"intervals": True}})
    assert status == 200
    scores = network.predict(inputs, verbose=0)
    expected = np.stack([scores, *calibration.intervals(scores)], axis=-1)
    np.testing.assert_allclose(answer["predictions"], expected, rtol=0, atol=1e-7)


def without(inputs, name):
    return {key: values for key, values in inputs.items() if key != name}


def test_a_mask_may_be_left_out(address, inputs):
    ones = {**inputs, "static_mask": np.ones((2, 5))}
    status, expected = ask(address, as_json(ones))
    assert status == 200
    status, answer = ask(address, as_json(without(inputs, "static_mask")))
    assert status == 200
    assert answer == expected


BAD = {
    "a width that is wrong": (
        lambda inputs: as_json({**inputs, "static": inputs["static"][..., :2]}),
        "static has the shape (2, 5, 2), expected (clips, 5, 3)",
    ),
    "a rank that is wrong": (
        lambda inputs: as_json({**inputs, "static": inputs["static"][0]}),
        "static has the shape (5, 3), expected (clips, 5, 3)",
    ),
    "a stream that is missing": (
        lambda inputs: as_json(without(inputs, "dynamic")),
        "there is no dynamic; expected",
    ),
    "a stream that the model does not take": (
        lambda inputs: as_json({**inputs, "sttic": inputs["static"]}),
        "the model takes no 'sttic'",
    ),
    "a value that is not a number": (
        lambda inputs: as_json({**inputs, "dynamic": np.full((2, 4), np.nan)}),
        "dynamic holds a value that is not a finite number",
    ),
    "a value beyond float32": (
        lambda inputs: as_json({**inputs, "dynamic": np.full((2, 4), 1e300)}),
        "dynamic holds a value that is not a finite number",
    ),
    "a whole number beyond any float": (
        lambda inputs: {"inputs": {**as_json(inputs)["inputs"], "dynamic": [[10**400] * 4] * 2}},
        "dynamic does not hold numbers",
    ),
    "a value that is absurd": (
        lambda inputs: as_json({**inputs, "dynamic": np.full((2, 4), 1e37)}),
        "dynamic of row 0 lies 10000 standard deviations or more from the clips",
    ),
    "a mask of other numbers": (
        lambda inputs: as_json({**inputs, "static_mask": np.full((2, 5), 7.5)}),
        "static_mask holds 7.5",
    ),
    "a mask of nothing": (
        lambda inputs: as_json({**inputs, "static_mask": np.zeros((2, 5))}),
        "static_mask has no step at all in row 0",
    ),
    "words": (
        lambda inputs: {"inputs": {**as_json(inputs)["inputs"], "dynamic": [["a"] * 4] * 2}},
        "could not convert string to float",
    ),
    "rows of several widths": (
        lambda inputs: {"inputs": {**as_json(inputs)["inputs"], "dynamic": [[1, 2], [1, 2, 3]]}},
        "inhomogeneous",
    ),
    "streams of several lengths": (
        lambda inputs: as_json({**inputs, "dynamic": inputs["dynamic"][:1]}),
        "the inputs are of [1, 2] clips",
    ),
    "a table": (
        lambda _: {"dataframe_split": {"columns": ["a"], "data": [[1]]}},
        "must be a dictionary with 'inputs' key",
    ),
    "another input": (
        lambda inputs: as_json({**inputs, "a": inputs["static"]}),
        "the model takes no 'a'",
    ),
    "clips without names": (lambda _: {"inputs": [[1, 2]]}, "the inputs have no names"),
    "no inputs": (lambda _: {"clips": []}, "inputs"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_the_fault_of_the_client_and_is_told_why_in_one_line(
    address, inputs, case
):
    make, words = BAD[case]
    status, answer = ask(address, make(inputs))
    assert status == 400, answer
    assert words in answer["message"]
    assert len(answer["message"].splitlines()) == 1
    assert "array(" not in answer["message"]


def test_what_is_not_json_is_the_fault_of_the_client(address):
    status, answer = ask(address, b"{")
    assert status == 400
    assert "JSON" in answer["message"]


def test_a_bad_request_does_not_hurt_the_next_one(address, inputs):
    assert ask(address, b"{")[0] == 400
    assert ask(address, as_json(inputs))[0] == 200


def test_what_is_stored_is_code_and_plain_files_and_nothing_pickled(served):
    directory, uri = served
    mlflow.set_tracking_uri(uri)
    copy = directory / "copy"
    mlflow.artifacts.download_artifacts("models:/ocean@champion", dst_path=str(copy))
    files = [file for file in copy.rglob("*") if file.is_file()]
    # A server that loads the code from a store on this machine leaves its byte code there.
    suffixes = {file.suffix for file in files if file.parent.name != "__pycache__"}
    assert suffixes & {".pkl", ".pickle", ".joblib", ".pyc"} == set()
    assert ".keras" in suffixes
