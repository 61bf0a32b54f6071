import os
import subprocess
import sys

import pytest
import tensorflow as tf

from pipeline.workflows.environment import describe_environment

DESCRIBE = """
from pipeline.workflows.environment import describe_environment
print(describe_environment()["git"])
"""


def describe_in_a_process(repository, program, **environment):
    described = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(repository), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return described.stdout.strip()


def test_the_versions_of_what_decides_a_result_are_told():
    described = describe_environment()
    assert {"tensorflow", "keras", "numpy", "mlflow"} <= described["packages"].keys()
    assert described["python"] == sys.version.split()[0]


def use_gpus(monkeypatch, *names):
    gpus = [f"GPU:{number}" for number, _ in enumerate(names)]
    details = dict(zip(gpus, names, strict=True))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda gpu: {"device_name": details[gpu]} if details[gpu] else {},
    )


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "CPU"),
        (["NVIDIA A100"], "NVIDIA A100"),
        (["NVIDIA A100", "Quadro"], "NVIDIA A100 (first of 2 GPUs)"),
        ([None], "GPU"),
    ],
)
def test_the_device_that_trains_is_named(monkeypatch, names, expected):
    use_gpus(monkeypatch, *names)
    assert describe_environment()["device"] == expected


def test_a_process_without_tensorflow_names_no_device_and_does_not_import_it(repository):
    program = (
        "import sys; from pipeline.workflows.environment import describe_environment as describe\n"
        "print(describe()['device'], 'tensorflow' in sys.modules)"
    )
    assert describe_in_a_process(repository, program) == "None False"


def test_a_command_can_be_typed_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pipeline", "train", "--name", "two words"])
    assert describe_environment()["command"] == "pipeline train --name 'two words'"


def test_code_outside_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.workflows.environment.__file__", str(tmp_path / "module.py"))
    assert describe_environment()["git"] == {}


def test_a_machine_without_git_trains_all_the_same(repository, tmp_path):
    told = describe_in_a_process(repository, DESCRIBE, PATH=str(tmp_path))
    assert "Traceback" not in told
    assert told.startswith("{")
