"""pyproject.toml, the lock files and conda.yaml describe the same environment."""

import platform
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements.txt", "requirements-dev.txt")


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def locks(repository):
    """Requirements in the runtime lock file and in the development lock file."""
    texts = [(repository / name).read_text(encoding="utf-8") for name in LOCKS]
    return [[Requirement(line) for line in text.splitlines() if line] for text in texts]


def version(pin):
    (specifier,) = pin.specifier
    return specifier.version


def pins(lock, name):
    return [each for each in lock if canonicalize_name(each.name) == canonicalize_name(name)]


def test_every_line_of_a_lock_is_an_exact_pin(repository, locks):
    runtime, development = locks
    for pin in (*runtime, *development):
        assert [specifier.operator for specifier in pin.specifier] == ["=="], pin
    # Development tools need some packages on more platforms, so only the versions are compared.
    assert {(pin.name, version(pin)) for pin in runtime} <= {
        (pin.name, version(pin)) for pin in development
    }
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert [name for name in LOCKS if f"-o {name}" not in makefile] == []


@pytest.mark.parametrize("lock", [0, 1], ids=LOCKS)
def test_every_dependency_is_locked_within_its_range(project, locks, lock):
    requirements = (project["dependencies"], project["optional-dependencies"]["dev"])[lock]
    for requirement in map(Requirement, requirements):
        found = pins(locks[lock], requirement.name)
        assert found, f"{requirement.name} is not locked"
        assert all(requirement.specifier.contains(version(pin)) for pin in found), requirement


def test_the_runtime_lock_has_no_development_tool(project, locks):
    tools = [Requirement(each).name for each in project["optional-dependencies"]["dev"]]
    assert [tool for tool in tools if pins(locks[0], tool)] == []


def test_conda_has_only_a_supported_python_and_the_runtime_lock(repository, project):
    environment = yaml.safe_load((repository / "conda.yaml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert re.fullmatch(r"python=3\.\d+\.\d+", python)
    supported = Requirement(f"python{project['requires-python']}").specifier
    assert supported.contains(python.removeprefix("python="))
    assert supported.contains(platform.python_version())
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements.txt"]}
    declared = yaml.safe_load((repository / "MLproject").read_text(encoding="utf-8"))
    assert declared["conda_env"] == "conda.yaml"


def test_the_installed_versions_are_the_locked_ones(locks):
    import importlib.metadata

    different = {
        pin.name: importlib.metadata.version(pin.name)
        for pin in locks[0]
        if (pin.marker is None or pin.marker.evaluate())
        and importlib.metadata.version(pin.name) != version(pin)
    }
    assert different == {}
