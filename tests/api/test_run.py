"""Read a finished run from an earlier version. It has two epochs."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.api.run import Run
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.traits import TRAITS


@pytest.fixture(scope="module")
def run_dir(repository):
    return repository / "tests" / "golden" / "run_of_an_earlier_version" / "finished"


@pytest.fixture(scope="module")
def run(run_dir):
    return Run.load(run_dir)


def test_the_configuration_is_an_object(run):
    assert run.config.training.num_epochs == 2


def test_the_history_has_a_row_per_epoch_with_training_and_validation_columns(run, run_dir):
    stored = json.loads((run_dir / "batch_metrics" / "metrics_history.json").read_text())["epoch"]
    history = run.history
    assert history.index.tolist() == [1, 2]
    assert list(history.columns[:4]) == ["loss", "val_loss", "accuracy", "val_accuracy"]
    for column, values in (
        ("loss", stored["loss"]),
        ("val_loss", stored["val_loss"]),
        ("mae_openness", stored["metrics"]["mae_openness"]),
        ("val_r2", stored["val_metrics"]["r_squared"]),
    ):
        assert history[column].tolist() == values


def test_the_scores_are_a_table_with_intervals(run, run_dir):
    stored = json.loads((run_dir / "evaluation.json").read_text())
    scores = run.evaluation.scores
    assert scores.loc[("r2", "openness")].to_dict() == stored["metrics"]["r2"]["openness"]
    assert scores["value"].unstack("trait").shape == (6, 6)


def test_the_baselines_have_the_differences_from_the_model(run, run_dir):
    stored = json.loads((run_dir / "evaluation.json").read_text())
    row = run.evaluation.baselines.loc[("ridge", "ccc", "mean")]
    assert row["value"] == stored["baselines"]["ridge"]["ccc"]["mean"]["value"]
    difference = stored["baseline_differences"]["ridge"]["ccc"]["mean"]
    assert (row["difference"], row["difference_low"]) == (difference["value"], difference["low"])


def test_the_predictions_have_annotations_and_intervals(run, run_dir):
    stored = pd.read_csv(run_dir / "predictions" / "validation.csv")
    widths = json.loads((run_dir / "conformal.json").read_text())["half_widths"]
    table = run.predictions()
    assert list(table.columns[:6]) == [
        *("clip_id", "group", "openness", "openness_low", "openness_high", "true_openness"),
    ]
    for trait in TRAITS:
        np.testing.assert_array_equal(table[trait], stored[trait])
        np.testing.assert_array_equal(table[f"true_{trait}"], stored[f"true_{trait}"])
        width = np.inf if widths[trait] is None else widths[trait]
        low = np.clip(stored[trait] - width, 0, 1)
        np.testing.assert_allclose(table[f"{trait}_low"], low)
    assert table["clip_id"].tolist() == stored["clip_id"].tolist()


def test_missing_predictions_are_an_error_with_the_call_that_creates_them(run):
    with pytest.raises(RunError, match=r"evaluate\(run, split='test'\)"):
        run.predictions("test")


def test_the_attention_is_arrays_by_name(run):
    attention = run.attention
    assert attention.trait_attention["static"].shape[0] == len(TRAITS)


def test_a_figure_is_drawn_for_notebooks_and_files(run, tmp_path):
    figure = run.figure("predictions_vs_truth", style="paper")
    figure.savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").exists()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_figure_shows_only_a_split_that_was_evaluated(run):
    with pytest.raises(PipelineError, match="test"):
        run.figure("scores_and_baselines", split="test")


def test_only_figures_with_data_are_listed(run):
    # The correlation of metrics needs three epochs, but the run has two.
    assert "scores_and_baselines" in run.figures
    assert "metrics_correlation_matrix" not in run.figures
    with pytest.raises(PipelineError, match=r"\b(three|3) epochs"):
        run.figure("metrics_correlation_matrix")


@pytest.mark.parametrize(
    ("name", "style", "message"),
    [
        ("calibratoin", "screen", "there is no figure 'calibratoin'. Did you mean 'calibration'?"),
        ("calibration", "papre", "there is no style 'papre'. Did you mean 'paper'?"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest_name(run, name, style, message):
    with pytest.raises(PipelineError) as error:
        run.figure(name, style=style)
    assert message in str(error.value)


def test_the_text_has_the_scores_beside_ridge_regression(run):
    lines = repr(run).splitlines()
    assert lines[0] == "Run finished (finished)"
    assert any(line.split()[0] == "R²" and "ridge regression" in line for line in lines[1:])


def test_a_directory_without_a_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"contains no config\.yaml"):
        Run.load(tmp_path)


def test_a_missing_file_is_an_error_that_names_the_file(repository):
    stopped = Run.load(repository / "tests" / "golden" / "run_of_an_earlier_version" / "stopped")
    assert stopped.status == "not finished"
    assert "not finished" in repr(stopped)
    with pytest.raises(RunError, match=r"evaluation\.json.*train --resume"):
        _ = stopped.evaluation


READ = """
import sys, pipeline
run = pipeline.Run.load(sys.argv[1])
run, run.history, run.evaluation.scores, run.predictions(), run.attention, run.figures
run.figure("scores_and_baselines")
print("tensorflow" in sys.modules)
run.model
print("tensorflow" in sys.modules)
"""


@pytest.mark.slow
def test_only_the_model_loads_tensorflow_and_no_message_is_printed(run_dir, repository, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", READ, run_dir],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("False\nTrue\n", "")
