"""Committed files work on any machine and with any package index."""

import re
import subprocess

import pytest

INDEX = re.compile(
    r"--(extra-)?index-url|--find-links|--trusted-host|index-strategy"
    r"|pypi\.(org|python\.org)/|pythonhosted\.org|https?://[^\s\"'>)]*/simple\b",
    re.IGNORECASE,
)
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(home|root|Users|work|workspace|mnt)/\w")


@pytest.fixture(scope="module")
def tracked_texts(repository):
    """Path -> text of each committed file."""
    if not (repository / ".git").exists():
        pytest.skip("this copy of the project is not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True
    )
    paths = [repository / name for name in listed.stdout.split("\0") if name]
    return {
        path.relative_to(repository).as_posix(): path.read_text(encoding="utf-8", errors="ignore")
        for path in paths
        if path.is_file() and path.name != "test_tracked_files.py"
    }


def lines_with(pattern, texts):
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_the_pattern_finds_an_index():
    option, host = "--" + "index-url", "pypi" + ".org"
    text = f"{option} https://mirror.example/simple\nhttps://{host}/simple\nsimple text"
    assert len(lines_with(INDEX, {"x": text})) == 2


def test_the_pattern_finds_a_path_of_a_machine():
    text = "open('/home/me/data')\nhttps://x.org/home/me\nresults/home/me"
    assert len(lines_with(MACHINE_PATH, {"x": text})) == 1


def test_no_file_has_a_package_index(tracked_texts):
    assert lines_with(INDEX, tracked_texts) == []


def test_no_file_has_a_path_of_a_machine(tracked_texts):
    assert lines_with(MACHINE_PATH, tracked_texts) == []


def test_no_result_of_a_run_is_committed(tracked_texts):
    left = re.compile(r"^(features|mlruns|mlartifacts|results|runs)/|^mlflow\.db|\.npy$|\.keras$")
    committed = [name for name in tracked_texts if not name.startswith("tests/golden/")]
    assert [name for name in committed if left.search(name)] == []
