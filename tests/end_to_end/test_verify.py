import json

import pytest

from pipeline.figures.gallery import training_figures

pytestmark = pytest.mark.slow

SMALL = (
    *("--data.synthetic.num_clips", 240, "--data.synthetic.num_steps", 4),
    *("--training.num_epochs", 3, "--training.batch_size", 32, "--model.fusion_dim", 16),
    *("--evaluation.num_resamples", 100),
)


def test_an_installation_that_works_passes_and_leaves_only_its_results(run_here, tmp_path):
    finished = run_here("verify", *SMALL, cwd=tmp_path)
    assert finished.status == 0, finished.out + finished.err
    results = json.loads((tmp_path / "test_results.json").read_text())
    files = results.pop("files")
    assert set(results.values()) == {"passed"}
    assert {
        "training_callbacks",
        "visualization_script",
        "attention_visualization",
        "training_time_analysis",
    } <= set(results)
    assert len(files) > len(training_figures())
    assert [path.name for path in tmp_path.iterdir()] == ["test_results.json"]
