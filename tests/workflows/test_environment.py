import os
import subprocess
import sys

from pipeline.workflows.environment import describe_environment

DESCRIBE = """
from pipeline.workflows.environment import describe_environment
print(describe_environment()["git"])
"""


def describe_in_a_process(repository, **environment):
    described = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
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


def test_a_command_can_be_typed_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pipeline", "train", "--name", "two words"])
    assert describe_environment()["command"] == "pipeline train --name 'two words'"


def test_code_outside_git_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.workflows.environment.__file__", str(tmp_path / "module.py"))
    assert describe_environment()["git"] == {}


def test_a_machine_without_git_trains_all_the_same(repository, tmp_path):
    told = describe_in_a_process(repository, PATH=str(tmp_path))
    assert "Traceback" not in told
    assert told.startswith("{")
