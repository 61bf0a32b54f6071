import re
import tomllib

import pytest

from pipeline.core.errors import first_line, install_command, one_line


@pytest.mark.parametrize(
    ("error", "start", "whole"),
    [
        (OSError("first\nsecond"), "first", "first second"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (ValueError("x" * 400), "x" * 300, "x" * 400),
        (ValueError("http://me:s3cret@host"), "http://me:***@host", "http://me:***@host"),
    ],
)
def test_an_error_has_one_line_without_passwords(error, start, whole):
    assert first_line(error) == start
    assert one_line(error) == whole


def test_the_install_command_names_all_extras():
    assert install_command("ray", "video") == "pip install -e '.[ray,video]'"


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
