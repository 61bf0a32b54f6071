"""Runs from an earlier version (commit dac0233) can be evaluated, resumed and drawn.

`finished` and `stopped` have the same configuration; `stopped` was killed after its first epoch.
The configurations contain a relative path to the built-in set, which each command generates.
"""

import json
import shutil

import numpy as np
import pytest

from pipeline.figures.gallery import figure_specs
from pipeline.records.predictions import read_predictions
from pipeline.report.images import FIGURE_FOLDERS

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(repository, tmp_path):
    """Directory with writable copies of both runs."""
    source = repository / "tests" / "golden" / "run_of_an_earlier_version"
    return shutil.copytree(source, tmp_path / "runs")


def test_a_finished_run_is_evaluated(run_here, runs):
    stored = json.loads((runs / "finished" / "evaluation.json").read_text())
    result = run_here("evaluate", "--run_dir", "finished", "--split", "validation", cwd=runs)
    assert result.status == 0, result.err
    report = json.loads((runs / "finished" / "evaluation.json").read_text())
    assert report["num_clips"] == stored["num_clips"]
    for metric, traits in stored["metrics"].items():
        for trait, interval in traits.items():
            value = report["metrics"][metric][trait]["value"]
            assert value == pytest.approx(interval["value"], rel=1e-3, abs=1e-4)


def test_a_finished_run_is_drawn(run_here, runs):
    result = run_here("visualize", "--run_dir", "finished", "--all", cwd=runs)
    assert result.status == 0, result
    run_dir = runs / "finished"
    drawn = {path.stem for folder in FIGURE_FOLDERS for path in (run_dir / folder).glob("*.png")}
    # The run has two epochs and few clips. These figures need more.
    assert set(figure_specs()) - drawn == {"metrics_correlation_matrix", "calibration"}
    assert "earlier" in (run_dir / "report.html").read_text()


def test_a_resumed_run_has_the_scores_of_the_finished_run(run_here, runs):
    resumed = run_here("train", "--resume", "stopped", cwd=runs)
    assert resumed.status == 0, resumed.err
    expected, found = (
        read_predictions(runs / name / "predictions" / "validation.csv")
        for name in ("finished", "stopped")
    )
    assert found.clip_ids == expected.clip_ids
    np.testing.assert_allclose(found.y_pred, expected.y_pred, atol=1e-3)
    assert (runs / "stopped" / "report.html").exists()
