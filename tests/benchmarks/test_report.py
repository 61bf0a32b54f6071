"""The table of the benchmark has all rows, and a missed goal has a reason."""

import json

import pytest

from benchmarks.report import (
    RESULTS_DIR,
    missed_without_reason,
    to_json,
    to_markdown,
    write_results,
)
from benchmarks.rows import ROWS, Result, find_row

MACHINE = {
    "commit": "0123456789abcdef",
    "is_dirty": False,
    "cpu": "Processor X",
    "num_cores": 2,
    "memory_gb": 8.0,
    "platform": "Linux",
    "python": "3.11.7",
    "packages": {"keras": "3.15.1"},
    "date": "2026-01-31",
    "command": "python -m benchmarks",
    "load_average": 0.1,
}


def one_result(key, *, ours, rival=()):
    return Result(row=find_row(key), ours=ours, rival=rival)


def contents(*results):
    return to_json(results, MACHINE, 300.0)


@pytest.mark.parametrize(
    ("key", "ours", "rival", "median", "is_reached"),
    [
        # ratios of each repeat: 1.0, 0.5, 0.96
        ("plain_fit/vectors/32", [100.0, 60.0, 96.0], [100.0, 120.0, 100.0], 0.96, False),
        ("plain_fit/vectors/32", [97.0], [100.0], 0.97, True),
        ("cross_validation", [19.0, 30.0], [10.0, 15.0], 1.95, True),
        ("first_step", [5.0, 6.0, 9.0], [4.0, 4.0, 4.0], 2.0, False),
        ("train", [11.0, 12.0, 20.0], [], 12.0, True),
    ],
)
def test_a_value_is_the_median_over_the_repeats(key, ours, rival, median, is_reached):
    result = one_result(key, ours=ours, rival=rival)
    assert result.spread.median == pytest.approx(median)
    assert result.is_reached is is_reached


def test_a_violated_condition_misses_the_goal():
    row = find_row("search")
    result = Result(row=row, ours=[9.0], rival=[1.0], failure="The best value is worse.")
    assert row.is_reached(9.0)
    assert not result.is_reached


def test_the_table_has_all_rows_with_goal_spread_and_repeats(tmp_path):
    results = [
        one_result(row.key, ours=[2.0, 3.0], rival=[] if row.kind == "seconds" else [1.0, 1.0])
        for row in ROWS
    ]
    write_results(contents(*results), tmp_path)
    text = (tmp_path / "RESULTS.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [row.what for row in ROWS]
    cells = lines[0].strip("| ").split(" | ")
    assert cells[2:] == ["2.5 clips/s", "1 clips/s", "2.5 ×", "2 – 3", "2", "≥ 0.97 ×", "yes"]
    for part in ("0123456789ab", "Processor X", "2 cores", "8.0 GB", "keras 3.15.1", "2026-01-31"):
        assert part in text
    assert json.loads((tmp_path / "results.json").read_text("utf-8"))["rows"][0]["median"] == 2.5


def test_a_missed_row_shows_its_reason():
    missed = contents(one_result("train", ours=[20.0]), one_result("search", ours=[9], rival=[1]))
    text = to_markdown(missed, {"train": "The figures take 8 s."})
    assert "The figures take 8 s." in text
    assert missed_without_reason(missed, {"train": "The figures take 8 s."}) == []
    assert missed_without_reason(missed, {}) == ["train"]


@pytest.fixture(scope="module")
def committed():
    """Content of the committed results."""
    path = RESULTS_DIR / "results.json"
    if not path.exists():
        pytest.skip("`make bench` has not been run")
    return json.loads(path.read_text("utf-8"))


def test_the_committed_results_have_all_rows(committed):
    assert [entry["key"] for entry in committed["rows"]] == [row.key for row in ROWS]


def test_each_missed_row_of_the_committed_results_has_a_reason(committed):
    assert missed_without_reason(committed) == []


def test_the_committed_table_agrees_with_the_committed_results(committed):
    assert (RESULTS_DIR / "RESULTS.md").read_text("utf-8") == to_markdown(committed)
