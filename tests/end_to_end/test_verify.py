"""`verify` on a working installation."""

import json

import pytest

from pipeline.figures.gallery import DEFAULT_FIGURES

pytestmark = pytest.mark.slow

SMALL = (
    *("--data.synthetic.num_clips", 240, "--data.synthetic.num_steps", 4),
    *("--training.num_epochs", 3, "--training.batch_size", 32, "--model.fusion_dim", 16),
    *("--evaluation.num_resamples", 100),
)


def test_a_working_installation_passes_and_only_the_results_remain(run_here, tmp_path):
    result = run_here("verify", *SMALL, cwd=tmp_path)
    assert result.status == 0, result
    parts = json.loads((tmp_path / "test_results.json").read_text())
    files = parts.pop("files")
    assert set(parts.values()) == {"passed"}
    assert {
        "training_callbacks",
        "visualization_script",
        "attention_visualization",
        "training_time_analysis",
    } <= set(parts)
    assert len(files) > len(DEFAULT_FIGURES)
    assert [path.name for path in tmp_path.iterdir()] == ["test_results.json"]
