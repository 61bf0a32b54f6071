"""An error that asks for an extra names one that there is."""

import re
import tomllib

import pytest

from pipeline.core.errors import install_command


def test_the_command_names_all_that_is_needed():
    assert install_command("ray", "video") == "pip install -e '.[ray,video]'"


@pytest.fixture(scope="module")
def extras(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def test_the_extras_that_are_asked_for_exist(repository, extras):
    asked = set()
    for path in (repository / "pipeline").rglob("*.py"):
        for names in re.findall(
            r"install_command\((['\"][^)]*)\)", path.read_text(encoding="utf-8")
        ):
            asked |= set(re.findall(r"\w+", names))
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for names in re.findall(r"pip install -e '\.\[([\w,]+)\]'", readme):
        asked |= set(names.split(","))
    assert {"postgres", "ray", "video"} <= asked <= extras
