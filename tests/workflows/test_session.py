import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf
from mlflow import MlflowClient

from pipeline.core.errors import PrunedError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_events, read_last_status
from pipeline.tracking.run_link import read_link
from pipeline.workflows.session import describe_environment, open_session


@pytest.fixture
def run(own_directory):
    directory = RunDirectory(own_directory / "run")
    directory.path.mkdir()
    return directory


@pytest.fixture
def client(own_directory):
    return MlflowClient(tracking_uri=f"sqlite:///{own_directory / 'mlflow.db'}")


@pytest.fixture
def no_store(monkeypatch):
    def open_store(uri):
        raise ConnectionError(uri)

    monkeypatch.setattr("pipeline.tracking.mirror.open_store", open_store)


def work(run, config, **settings):
    """Open and close a session."""
    with open_session(run, config, **{"num_steps": 1, **settings}) as session:
        session.run_log.log_metrics({"x": 1.0})


def kinds(run):
    return [event.kind for event in read_events(run.run_log_path)]


def test_the_description_is_logged_first_and_the_status_last(run, make_config):
    work(run, make_config(seed=7))
    assert kinds(run) == ["params", "tags", "artifacts", "metrics", "finished"]
    assert next(read_events(run.run_log_path)).content["params"]["seed"] == 7
    assert json.loads(run.environment_path.read_text())["packages"]["keras"]


def test_a_resumed_run_is_described_again_only_if_a_kill_interrupted_it(run, make_config):
    RunLog(run.run_log_path).log_params({})
    for _ in range(2):
        work(run, make_config())
    described = ["params", "tags", "artifacts", "metrics", "finished"]
    assert kinds(run) == ["params", *described, "metrics", "finished"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("first line\nsecond line"), "FAILED", "first line"),
        (MemoryError(), "FAILED", "MemoryError"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ],
)
def test_an_error_is_logged_and_raised_again(error, status, reason, run, make_config):
    with (
        pytest.raises(type(error)),
        open_session(run, make_config(), num_steps=1),
    ):
        raise error
    last = list(read_events(run.run_log_path))[-1]
    assert (last.content["status"], last.content["reason"]) == (status, reason)
    assert read_last_status(run) == status


def test_the_name_of_a_pruned_run_contains_the_word(run, make_config, client):
    config = make_config(tracking__enabled=True)
    with (
        pytest.raises(PrunedError),
        open_session(run, config, num_steps=1, run_name="trial-0002 num_heads=2"),
    ):
        raise PrunedError("stopped at epoch 5 with val_mae 0.2")
    (found,) = client.search_runs([client.get_experiment_by_name("ocean").experiment_id])
    assert found.info.run_name == "trial-0002 pruned num_heads=2"
    assert "stopped at epoch 5" in found.data.tags["mlflow.note.content"]


def test_parameters_have_no_empty_values_and_no_settings_of_mlflow(run, make_config, client):
    work(run, make_config(tracking__enabled=True, seed=7))
    (found,) = client.search_runs([client.get_experiment_by_name("ocean").experiment_id])
    parameters = found.data.params
    assert parameters["seed"] == "7"
    assert not {"", "None", "[]", "unknown"} & set(parameters.values())
    assert not [name for name in parameters if name.startswith(("tracking.", "config."))]
    assert not [name for name in found.data.tags if name.startswith("version.")]


def test_a_run_without_tracking_has_no_link_and_no_store(run, make_config, own_directory):
    with open_session(run, make_config(), num_steps=1) as session:
        session.wake_mirror()
    assert read_link(run.tracking_path) is None
    assert not (own_directory / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("name_of_mlflow_run", "setting", "expected"),
    [
        ("abundant-shad-446", "", "demo seed=1"),
        ("abundant-shad-446", "mine", "mine"),
        ("my own name", "", "my own name"),
        ("abundant-shad-final", "", "abundant-shad-final"),
        ("my own name", "mine", "mine"),
    ],
)
def test_a_run_of_mlflow_run_keeps_a_name_that_the_user_has_given(
    run, make_config, client, monkeypatch, name_of_mlflow_run, setting, expected
):
    run_id = client.create_run("0", run_name=name_of_mlflow_run).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    config = make_config(tracking__enabled=True, tracking__run_name=setting)
    work(run, config, run_name="demo seed=1")
    assert client.get_run(run_id).info.run_name == expected
    assert kinds(run)[1] == "params"  # the first event is the MLflow run


@pytest.mark.parametrize("name", ["job%41", "a%20b", "a?b", "a#b"])
def test_artifacts_are_beside_the_database_in_a_directory_with_special_characters(
    make_config, own_directory, monkeypatch, name
):
    directory = own_directory / name
    directory.mkdir()
    monkeypatch.chdir(directory)
    run = RunDirectory(directory / "run")
    run.path.mkdir()
    run.config_path.write_text("")
    work(run, make_config(tracking__enabled=True))
    link = read_link(run.tracking_path)
    artifacts = MlflowClient(tracking_uri=link.tracking_uri).list_artifacts(link.run_id)
    assert {each.path for each in artifacts} == {"config.yaml", "environment.json"}
    assert len(list((directory / "mlruns").rglob("environment.json"))) == 1
    assert [path.name for path in own_directory.iterdir()] == [name]


@pytest.mark.parametrize(("num_steps", "stride"), [(1, 1), (2000, 1), (2001, 2), (100_000, 50)])
def test_mlflow_gets_at_most_two_thousand_steps(
    num_steps, stride, run, make_config, monkeypatch, no_store
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    work(run, make_config(tracking__enabled=True), num_steps=num_steps)
    link = read_link(run.tracking_path)
    assert link.step_stride == stride
    assert link.tracking_uri == "http://127.0.0.1:9"


def test_the_environment_has_versions_and_the_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pipeline", "train", "--name", "two words"])
    described = describe_environment()
    assert {"tensorflow", "keras", "numpy", "mlflow"} <= described["packages"].keys()
    assert described["python"] == sys.version.split()[0]
    assert described["command"] == "pipeline train --name 'two words'"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "CPU"),
        (["NVIDIA A100"], "NVIDIA A100"),
        (["NVIDIA A100", "Quadro"], "NVIDIA A100 (first of 2 GPUs)"),
        ([None], "GPU"),
    ],
)
def test_the_training_device_is_described(monkeypatch, names, expected):
    gpus = [f"GPU:{number}" for number, _ in enumerate(names)]
    details = dict(zip(gpus, names, strict=True))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"device_name": details[gpu]} if details[gpu] else {},
    )
    assert describe_environment()["device"] == expected


def test_code_outside_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.workflows.session.__file__", str(tmp_path / "module.py"))
    assert describe_environment()["git"] == {}


def describe_in_a_process(repository, expression, **environment):
    program = (
        "import sys; from pipeline.workflows.session import describe_environment\n"
        f"described = describe_environment(); print({expression})"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(repository), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return finished.stdout.strip()


def test_a_process_without_tensorflow_has_no_device(repository):
    expression = "described['device'], 'tensorflow' in sys.modules"
    assert describe_in_a_process(repository, expression) == "None False"


def test_a_machine_without_git_is_described(repository, tmp_path):
    git = describe_in_a_process(repository, "described['git']", PATH=str(tmp_path))
    assert git.startswith("{")
