from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.workflows.compare import compare_runs, compare_with_first, draw_comparison


def test_runs_have_the_names_of_their_directories(make_run, monkeypatch):
    one, two = make_run("one", 0.1), make_run("two", 0.05)
    comparison = compare_runs(one, two, split="validation")
    assert comparison.labels == ("A", "B")
    assert comparison.names == ("one", "two")
    assert comparison.differences["mae"]["mean"].value == pytest.approx(-0.05)
    monkeypatch.chdir(one)
    assert compare_runs(Path(), two, split="validation").names == ("one", "two")


def test_runs_of_equal_name_have_their_paths_as_names(make_run):
    one, two = make_run("a/run", 0.1), make_run("b/run", 0.05)
    assert compare_runs(one, two, split="validation").names == (str(one), str(two))


def test_the_compared_split_is_drawn_and_not_the_last_evaluation(make_run, tmp_path):
    runs = (make_run("one", 0.1), make_run("two", 0.05))
    for run in runs:
        RunDirectory(run).evaluation_path.write_text('{"split": "test"}')
    comparison = compare_runs(*runs, split="validation")
    gallery = draw_comparison(comparison, *runs, split="validation", output_dir=tmp_path / "out")
    assert {figure.spec.name for figure in gallery.drawn} == {"metric_differences", "trait_scores"}
    assert gallery.faults == ()


def test_a_run_is_not_compared_with_itself(make_run):
    run = make_run("one", 0.1)
    with pytest.raises(RunError, match="one: this run is given twice"):
        compare_runs(run, run, split="validation")


def test_intervals_of_several_comparisons_are_wider(make_run):
    numbers = np.random.default_rng(1)
    runs = [make_run(name, numbers.normal(0, 0.1, (20, 5))) for name in ("one", "two", "three")]
    alone = compare_runs(runs[0], runs[1], split="validation")
    first, second = compare_with_first(runs, split="validation")
    assert (first.labels, second.labels) == (("A", "B"), ("A", "C"))
    assert (first.names, second.names) == (("one", "two"), ("one", "three"))
    assert first.confidence == pytest.approx(0.975)
    assert first.differences["mae"]["mean"].value == alone.differences["mae"]["mean"].value
    assert first.differences["mae"]["mean"].low < alone.differences["mae"]["mean"].low
    assert first.differences["mae"]["mean"].high > alone.differences["mae"]["mean"].high


def test_more_runs_than_letters_are_an_error(tmp_path):
    with pytest.raises(RunError, match="27 runs are given, but at most 26"):
        compare_with_first([tmp_path] * 27, split="validation")
