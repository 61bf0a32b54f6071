import shutil

import pandas as pd
import pytest

from pipeline.api.comparison import compare
from pipeline.core.errors import RunError


@pytest.fixture
def worse_run(earlier_run):
    """A copy of the run with an additional error of 0.1 in each prediction of openness."""
    path = shutil.copytree(earlier_run, earlier_run.with_name("worse"))
    table = pd.read_csv(path / "predictions" / "validation.csv")
    sign = (table["openness"] > table["true_openness"]).map({True: 1, False: -1})
    table["openness"] += 0.1 * sign
    table.to_csv(path / "predictions" / "validation.csv", index=False)
    return path


def test_the_scores_have_both_runs_and_their_difference(earlier_run, worse_run):
    scores = compare(earlier_run, worse_run).scores
    row = scores.loc[("mae", "openness")]
    assert row["difference"] == pytest.approx(0.1)
    assert row["b"] - row["a"] == pytest.approx(0.1)
    assert row[["low", "high"]].tolist() == pytest.approx([0.1, 0.1])
    assert scores.loc[("mae", "extraversion"), "difference"] == 0.0
    assert scores.loc[("mae", "mean"), "difference"] == pytest.approx(0.02)


def test_the_text_names_the_runs_and_the_result(earlier_run, worse_run):
    result = compare(earlier_run, worse_run)
    text = repr(result)
    assert "earlier" in text
    assert "worse" in text
    assert result.verdict in text


def test_figures_are_drawn_only_on_request(earlier_run, worse_run, own_directory):
    compare(earlier_run, worse_run, figures_dir="figures")
    assert (own_directory / "figures" / "comparison" / "metric_differences.png").exists()


def test_a_split_without_predictions_is_an_error(earlier_run, worse_run):
    with pytest.raises(RunError, match="no predictions for the split test"):
        compare(earlier_run, worse_run, split="test")
