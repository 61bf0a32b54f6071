import itertools
import os
import pty
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from pipeline import cli

def run(arguments):
    with Path("file.txt").open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            print("x" * 100_000, file=stream, flush=True)
            print("caf\\u00e9 \\udcff", file=stream, flush=True)
        file.write("whole")
    return 0

cli.COMMANDS["sync"].run = run
sys.exit(cli.main(["sync"]))
"""


@pytest.fixture
def run(repository, tmp_path):
    """Run the script with a shell redirection, and return its exit status."""

    def run(redirection, **environment):
        command = f'{{ "{sys.executable}" -c "$SCRIPT"; echo $? > status; }} {redirection}'
        subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(repository), "SCRIPT": SCRIPT, **environment},
            capture_output=True,
            timeout=300,
            check=False,
        )
        return int((tmp_path / "status").read_text())

    return run


@pytest.mark.parametrize(
    "redirection",
    [
        " ".join(closed)
        for number in (1, 2, 3)
        for closed in itertools.combinations(("<&-", ">&-", "2>&-"), number)
    ],
)
def test_closed_streams_are_no_error_and_no_file_replaces_them(run, tmp_path, redirection):
    assert run(redirection) == 0
    assert (tmp_path / "file.txt").read_text() == "whole"


@pytest.mark.parametrize("redirection", ["| true", "2>&1 | true", "2>&1 >/dev/null | true"])
def test_a_closed_pipe_does_not_end_a_command(run, tmp_path, redirection):
    assert run(redirection) == 0
    assert (tmp_path / "file.txt").read_text() == "whole"


def test_a_closed_terminal_does_not_end_a_command(repository, tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.close(ours)
    assert process.wait(timeout=300) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")  # noqa: PTH110
def test_output_to_a_full_disk_is_an_error(run, tmp_path):
    assert run(">/dev/full 2>errors.txt") == 2
    (line,) = (tmp_path / "errors.txt").read_text().splitlines()
    assert "standard output: No space left on device. Make room on this disk." in line


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")  # noqa: PTH110
def test_messages_to_a_full_disk_are_dropped(run):
    assert run("2>/dev/full") == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_all_texts_can_be_printed_in_all_encodings(run, encoding):
    assert run(">out.txt", PYTHONIOENCODING=encoding) == 0
