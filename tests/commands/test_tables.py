"""Tables are read on terminals of any width."""

import io
from pathlib import Path

import pytest
import rich.console
import rich.text

from pipeline.commands import tables
from pipeline.core.traits import TRAITS
from pipeline.workflows.verify import Check

INTERVALS = {
    "accuracy": ["0.9172 [0.9145, 0.9196]", "0.9101", "0.9102", "0.9103", "0.9104", "0.9105"],
    "same_group_mean r2": ["-0.0217 [-0.0301, -0.0009]", *["-0.0011"] * 5],
}


@pytest.fixture
def printed(monkeypatch):
    """Return a function that prints on a terminal of some width, and gives what it shows."""

    def draw(width, print_it, *arguments):
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=True, width=width)
        monkeypatch.setattr(tables, "_console", lambda: console)
        print_it(*arguments)
        return rich.text.Text.from_ansi(stream.getvalue()).plain

    return draw


@pytest.fixture
def show(printed):
    return lambda width: printed(width, tables._print_cells, "test", INTERVALS)


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_no_number_is_cut(show, width):
    shown = show(width)
    assert "…" not in shown
    for cells in INTERVALS.values():
        for cell in cells:
            assert cell in shown


def test_a_wide_terminal_names_the_traits(show):
    shown = show(160)
    assert all(trait in shown for trait in TRAITS)


def test_a_narrow_one_gives_their_initials(show):
    assert show(80).split().count("neuroticism") == 0
    assert [word for word in show(80).split() if len(word) == 1] == ["O", "C", "E", "A", "N"]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_reason_why_a_check_failed_is_not_cut(printed, width):
    reason = "cannot be read as JSON (Expecting property name: line 1 column 2 (char 1))"
    checks = (
        Check(part="training_callbacks", file="time_tracking/time_logs.json", fault=reason),
        Check(part="report", file="report.html", fault=""),
    )
    shown = printed(width, tables.print_checks, checks, Path("test_results.json"))
    assert "…" not in shown
    assert all(word in shown for word in ("JSON", "Expecting", "char", "1 passed, 1 failed"))
