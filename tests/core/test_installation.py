import re
import sys
import tomllib

import pytest

from pipeline.core import installation
from pipeline.core.installation import (
    activation_command,
    install_command,
    program,
    ui_command,
)
from pipeline.core.urls import sqlite_url


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(installation, "clone_dir", lambda: None)


def test_in_a_clone_extras_are_installed_from_the_clone(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    assert install_command("ray", "video") == "pip install -e '.[ray,video]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("video") == f"pip install -e '{repository}[video]'"


def test_in_an_installed_package_extras_are_installed_by_name(installed):
    assert install_command("ray", "video") == "pip install 'ocean-pipeline[ray,video]'"


@pytest.mark.parametrize(
    ("prefix", "active", "expected"),
    [
        ("venv", "", ". venv/bin/activate"),
        ("venv", "venv", ""),  # the user has activated it
        ("no environment", "", ""),
    ],
)
def test_an_inactive_environment_can_be_activated(tmp_path, monkeypatch, prefix, active, expected):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "activate").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / prefix))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setenv("VIRTUAL_ENV", active)
    assert activation_command() == expected


def test_the_name_of_the_package_is_that_of_the_project(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert project["name"] == installation.SCRIPT
    assert list(project["scripts"]) == [installation.SCRIPT]


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("/bin/ocean-pipeline", "ocean-pipeline"),
        ("pipeline/__main__.py", "python -m pipeline"),
        ("-c", "python -m pipeline"),
    ],
)
def test_the_program_is_named_as_it_was_started(monkeypatch, argument, name):
    monkeypatch.setattr(sys, "argv", [argument])
    assert program() == name


def test_make_is_only_suggested_in_the_directory_of_a_clone(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository)
    assert ui_command(sqlite_url(repository / "mlflow.db")) == "make ui"
    monkeypatch.chdir(tmp_path)
    expected = 'mlflow ui --backend-store-uri "sqlite:///mlflow.db"'
    assert ui_command(sqlite_url(tmp_path / "mlflow.db")) == expected


def test_make_is_not_suggested_in_an_installed_package(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "make" not in ui_command(sqlite_url(tmp_path / "mlflow.db"))


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("https://server:5000", "https://server:5000"),
        ("postgresql://me:***@host/db", 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'),
    ],
)
def test_a_server_is_opened_at_its_url_and_a_password_is_not_printed(store, shown):
    assert ui_command(store) == shown


def test_all_extras_in_install_commands_exist(repository):
    named = set()
    for path in (repository / "pipeline").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for names in re.findall(r"install_command\((['\"][^)]*)\)", text):
            named |= set(re.findall(r"\w+", names))
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for names in re.findall(r"pip install -e '\.\[([\w,]+)\]'", readme):
        named |= set(names.split(","))
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert {"postgres", "ray", "video"} <= named <= set(project["optional-dependencies"])
