"""pyproject.toml, the lock files and conda.yaml describe the same environment."""

import platform
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_lock(path):
    """Return the requirements of a lock file."""
    return [Requirement(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


@pytest.fixture(scope="module")
def runtime(repository):
    return read_lock(repository / "requirements.txt")


@pytest.fixture(scope="module")
def development(repository):
    return read_lock(repository / "requirements-dev.txt")


def pins(lock, name):
    return [each for each in lock if canonicalize_name(each.name) == canonicalize_name(name)]


def version(pin):
    (specifier,) = pin.specifier
    return specifier.version


def assert_pinned(lock, requirements):
    for requirement in map(Requirement, requirements):
        found = pins(lock, requirement.name)
        assert found, f"{requirement.name} is not locked"
        assert all(requirement.specifier.contains(version(pin)) for pin in found), requirement


def test_every_line_of_a_lock_is_an_exact_pin(runtime, development):
    for pin in (*runtime, *development):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin


def test_every_dependency_is_locked_within_its_range(project, runtime):
    assert_pinned(runtime, project["dependencies"])


def test_every_development_dependency_is_locked_within_its_range(project, development):
    assert_pinned(development, project["optional-dependencies"]["dev"])


def test_the_development_lock_includes_the_runtime_lock(runtime, development):
    assert {str(pin) for pin in runtime} <= {str(pin) for pin in development}


def test_the_runtime_lock_has_no_development_tool(project, runtime):
    tools = [Requirement(each).name for each in project["optional-dependencies"]["dev"]]
    assert [tool for tool in tools if pins(runtime, tool)] == []


def test_conda_has_only_python_and_the_runtime_lock(repository):
    environment = yaml.safe_load((repository / "conda.yaml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert re.fullmatch(r"python=3\.\d+\.\d+", python)
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements.txt"]}


def test_the_package_supports_the_python_of_conda(repository, project):
    environment = yaml.safe_load((repository / "conda.yaml").read_text(encoding="utf-8"))
    python = environment["dependencies"][0].removeprefix("python=")
    supported = Requirement(f"python{project['requires-python']}").specifier
    assert supported.contains(python)
    assert supported.contains(platform.python_version())


def test_the_project_file_uses_this_environment(repository):
    declared = yaml.safe_load((repository / "MLproject").read_text(encoding="utf-8"))
    assert declared["conda_env"] == "conda.yaml"


def test_the_installed_versions_are_the_locked_ones(runtime):
    import importlib.metadata

    different = {
        pin.name: importlib.metadata.version(pin.name)
        for pin in runtime
        if (pin.marker is None or pin.marker.evaluate())
        and importlib.metadata.version(pin.name) != version(pin)
    }
    assert different == {}


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_make_lock_writes_this_file(repository, lock):
    assert f"-o {lock}" in (repository / "Makefile").read_text(encoding="utf-8")
