import io
import re

import numpy as np
import pandas as pd
import pytest

from pipeline.core.traits import TRAITS
from pipeline.evaluation.run_summary import summarize_predictions
from pipeline.evaluation.summary_table import FORMATS, build_blocks, caption, headline, render
from pipeline.metrics.regression import METRICS
from pipeline.records.predictions import Predictions

TRUE = np.random.default_rng(0).random((1200, 5))
NOISE = np.random.default_rng(1).normal(0, 0.1, TRUE.shape)
SEEDS = {"run_a0": 0, "run_a1": 1, "run_b0": 0, "run_b1": 1}


def predictions(scale, offset=0.0):
    return Predictions(
        clip_ids=[f"c{row}" for row in range(1200)],
        groups=[f"g{row // 2}" for row in range(1200)],
        y_pred=TRUE + scale * NOISE + offset,
        y_true=TRUE,
    )


@pytest.fixture(scope="module")
def one_set():
    runs = {"run_a0": predictions(1.0), "run_a1": predictions(1.1)}
    return summarize_predictions(runs, split="test", seeds=SEEDS, num_resamples=20)


@pytest.fixture(scope="module")
def two_sets():
    return summarize_predictions(
        {"run_a0": predictions(1.0), "run_a1": predictions(1.01)},
        {"run_b0": predictions(1.5), "run_b1": predictions(1.51)},
        split="test",
        seeds=SEEDS,
        num_resamples=20,
    )


def test_the_csv_has_the_exact_values_of_every_metric_and_trait(two_sets):
    table = pd.read_csv(io.StringIO(render(two_sets, "csv")))
    assert len(table) == 3 * len(METRICS) * 6
    indexed = table.set_index(["part", "metric", "trait"])
    run = indexed.loc["runs", "mae", "openness"]
    assert run["mean"] == pytest.approx(two_sets.runs.means["mae"]["openness"].value, rel=1e-15)
    assert run["standard_deviation"] == pytest.approx(two_sets.runs.deviations["mae"]["openness"])
    assert (run["num_runs"], run["num_clips"], run["num_groups"]) == (2, 1200, 600)
    difference = indexed.loc["difference", "ccc", "mean"]
    assert difference["low"] == pytest.approx(two_sets.differences["ccc"]["mean"].low)


def test_a_cell_has_mean_and_standard_deviation_with_equal_decimals(one_set):
    (block,) = build_blocks(one_set)
    rows = {row[0]: row[1:] for row in block.rows}
    assert list(rows) == ["accuracy", "MAE", "MSE", "R²", "PCC", "CCC"]
    mean, deviation = one_set.runs.means["mae"]["mean"], one_set.runs.deviations["mae"]["mean"]
    assert rows["MAE"][0] == f"{mean.value:.4f} ± {deviation:.4f}"
    assert rows["MAE"][1] == f"[{mean.low:.4f}, {mean.high:.4f}]"
    assert len(rows["MAE"]) == 2 + len(TRAITS)


def test_differences_have_a_sign_and_clear_differences_an_asterisk(two_sets):
    runs, against, difference = build_blocks(two_sets)
    assert (runs.title, against.title) == ("A: run_a0, run_a1", "B: run_b0, run_b1")
    rows = {row[0]: row[1:] for row in difference.rows}
    assert rows["MAE"][0].startswith("−0.")
    assert rows["R²"][0].startswith("+0.")
    assert all(cell.endswith("*") for cell in rows["MAE"][2:])
    decimals = {len(re.sub(r"[^.\d]", "", cell).partition(".")[2]) for cell in rows["MAE"][2:]}
    assert len(decimals) == 1


def test_equal_sets_have_differences_without_sign_and_asterisk():
    runs = {"a": predictions(1.0)}
    summary = summarize_predictions(runs, {"b": predictions(1.0)}, split="test", num_resamples=9)
    cells = build_blocks(summary)[2].rows[0][1:]
    assert cells == ("0.0000", "[0.0000, 0.0000]", *["0.0000"] * 5)


def test_the_caption_has_the_numbers_of_clips_groups_and_seeds(one_set, two_sets):
    text = caption(one_set)
    assert "2 runs (seeds 0, 1) on 1,200 test clips of 600 groups" in text
    assert "20 resamples" in text
    text = caption(two_sets)
    assert "2 runs (seeds 0, 1) of A and 2 runs (seeds 0, 1) of B" in text
    assert "variation over clips and over runs" in text


def test_the_markdown_table_has_one_row_per_metric(one_set):
    lines = [line for line in render(one_set, "md").splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {9}
    assert len(lines) == 3 + len(METRICS)
    assert "neuroticism" in lines[0]


def test_the_latex_table_uses_booktabs_and_escapes_special_characters(two_sets):
    text = render(two_sets, "tex")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 3, 1]
    assert r"A: run\_a0, run\_a1" in text
    assert r"95 \% interval" in text
    assert r"$\pm$" in text
    assert text.isascii()
    rows = [line for line in text.splitlines() if line.count("&") == 7]
    assert len(rows) == 1 + 3 * len(METRICS)
    assert all(row.endswith(r" \\") for row in rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_tables_without_intervals_are_written(suffix):
    run = predictions(1.0)
    only = Predictions(
        clip_ids=run.clip_ids, groups=["g"] * 1200, y_pred=run.y_pred, y_true=run.y_true
    )
    summary = summarize_predictions({"a": only}, split="test", num_resamples=2)
    assert "nan" not in render(summary, suffix)
    assert re.fullmatch(r"MAE 0\.\d{4}", headline(summary, "mae"))


def test_the_headline_is_ready_for_a_sentence(one_set):
    pattern = r"MAE 0\.\d{4} ± 0\.\d{4}, 95 % interval \[0\.\d{4}, 0\.\d{4}\]"
    assert re.fullmatch(pattern, headline(one_set, "mae"))
