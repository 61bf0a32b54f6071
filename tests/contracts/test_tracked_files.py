"""Committed files do not depend on a machine or a package index."""

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


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        (INDEX, "--" + "index-url x"),
        (INDEX, "https://" + "pypi" + ".org/simple"),
        (INDEX, "https://mirror.example" + "/simple"),
        (MACHINE_PATH, "open('/home" + "/me/data')"),
    ],
)
def test_no_file_contains_a_package_index_or_a_machine_path(tracked_texts, pattern, example):
    texts = {"other": "simple text\nhttps://x.org/home/me", "example": example}
    assert lines_with(pattern, texts) == [f"example:1: {example}"]
    assert lines_with(pattern, tracked_texts) == []


def test_no_run_output_is_committed(tracked_texts):
    left = re.compile(r"^(features|mlruns|mlartifacts|results|runs)/|^mlflow\.db|\.npy$|\.keras$")
    committed = [name for name in tracked_texts if not name.startswith("tests/golden/")]
    assert [name for name in committed if left.search(name)] == []
