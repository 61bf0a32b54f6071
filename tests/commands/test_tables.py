"""Tables fit terminals of all widths. Each comparison has its own folder."""

import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import rich.console
import rich.text

from pipeline.commands import tables
from pipeline.commands.compare import folder_name
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.records.evaluation import Interval
from pipeline.workflows.verify import Check

NAMES = ("mean", *TRAITS)
ROWS = {
    "accuracy": {name: Interval(value=0.9172, low=0.9145, high=0.9196) for name in NAMES},
    "same_group_mean r2": {name: Interval(value=-0.0217, low=-0.0301, high=0.0) for name in NAMES},
}


@pytest.fixture
def show(monkeypatch):
    """Return a function that calls a print function at a terminal width and returns the text."""

    def show_at(width, print_it, *arguments):
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=True, width=width)
        monkeypatch.setattr(tables, "build_console", lambda: console)
        print_it(*arguments)
        return rich.text.Text.from_ansi(stream.getvalue()).plain

    return show_at


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_numbers_and_trait_names_fit_the_width(show, width):
    shown = show(width, tables.print_metrics, "test", ROWS)
    assert "…" not in shown
    for text in ("0.9172 [0.9145, 0.9196]", "-0.0217 [-0.0301, 0.0000]"):
        assert text in shown
    names = [word for word in shown.split() if word in TRAITS]
    initials = [word for word in shown.split() if len(word) == 1]
    if width == 160:
        assert names == list(TRAITS)
    if width == 80:
        assert (names, initials) == ([], ["O", "C", "E", "A", "N"])


def prediction_with(*ranges, units="original"):
    columns = {f"{trait}{end}": [0.5] for trait in TRAITS for end in ("", "_low", "_high")}
    traits = [
        dataclasses.replace(trait, label_range=each)
        for trait, each in zip(FIRST_IMPRESSIONS, ranges, strict=True)
    ]
    return SimpleNamespace(
        table=pd.DataFrame(columns),
        units=units,
        level=0.9,
        traits=traits,
        trait_names=TRAITS,
        failures=(),
        output=Path("a.csv"),
        explanation=None,
    )


def test_predictions_are_shown_with_direction_and_scale(show):
    shown = show(160, tables.print_prediction, prediction_with(*[(1.0, 7.0)] * 5))
    assert "Neuroticism is scored in reverse" in shown.splitlines()[0]
    assert "on the scale 1 to 7" in shown


def test_original_units_of_annotations_from_0_to_1_are_the_scores(show):
    shown = show(160, tables.print_prediction, prediction_with(*[(0.0, 1.0)] * 5))
    assert "the original range of the annotations is [0, 1]" in shown


def test_predictions_on_different_scales_have_no_mean(show):
    shown = show(160, tables.print_prediction, prediction_with((1.0, 5.0), *[(1.0, 7.0)] * 4))
    (score,) = [line.split() for line in shown.splitlines() if line.strip().startswith("score")]
    assert score == ["score", "-", *["0.5000"] * 5]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_reason_for_a_failed_check_fits_the_width(show, width):
    reason = "cannot be read as JSON (Expecting property name: line 1 column 2 (char 1))"
    checks = (
        Check(part="training_callbacks", file="time_tracking/time_logs.json", fault=reason),
        Check(part="report", file="report.html", fault=""),
    )
    shown = show(width, tables.print_checks, checks, Path("test_results.json"))
    assert "…" not in shown
    assert all(word in shown for word in ("JSON", "Expecting", "char", "1 passed, 1 failed"))


@pytest.mark.parametrize(
    ("runs", "name"),
    [
        (["runs/one", "runs/other"], "one-other"),
        (["x/run", "y/run"], "x-run-y-run"),
        (["runs/one", "runs/two", "runs/three"], "one-and-2-others"),
    ],
)
def test_each_comparison_has_its_own_folder(runs, name):
    assert folder_name([Path(run) for run in runs]) == name
