import io

import pytest
import rich.console

from pipeline.core import progress_lines
from pipeline.core.progress_lines import ProgressLines


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress_lines.time, "monotonic", lambda: now[0])
    return now


def build(*, is_terminal=False, is_shown=True):
    console = rich.console.Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    return ProgressLines(console, is_shown=is_shown), console.file


def test_a_line_is_printed_every_ten_seconds(clock):
    lines, stream = build()
    for second in (0, 9, 10, 15, 19, 20.5):
        clock[0] = 100 + second
        lines.show(f"after {second} s")
    assert stream.getvalue().splitlines() == ["after 10 s", "after 20.5 s"]


def test_a_line_that_is_printed_in_any_case_delays_the_next_line(clock):
    lines, stream = build()
    clock[0] += 9
    lines.print("first")
    clock[0] += 9
    lines.show("second")
    assert stream.getvalue() == "first\n"


@pytest.mark.parametrize("options", [{"is_terminal": True}, {"is_shown": False}])
def test_no_progress_line_is_printed_on_a_terminal_or_if_progress_is_hidden(clock, options):
    lines, stream = build(**options)
    clock[0] += 60
    lines.show("line")
    assert stream.getvalue() == ""
