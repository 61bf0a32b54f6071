"""The learning test: attention across the streams finds what nothing else here can.

In the built-in set one face frame carries the traits, and only the motion stream says which.
"""

import pytest

pytestmark = pytest.mark.slow

NUM_EPOCHS = "14"
"""Enough to see; the experiment files train for 40."""

BLIND = ("concat", "static_only", "dynamic_only")
"""Fusions that cannot use motion to choose a face frame."""


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def train(path, demo_dir):
    """Train an experiment file; return its validation R² as a share of the best possible."""
    from pipeline.config.loading import load_config
    from pipeline.data.synthetic import best_possible_r2
    from pipeline.workflows.training_run import run_training

    overrides = {
        "data.features_dir": str(demo_dir / "features"),
        "training.num_epochs": NUM_EPOCHS,
        "tracking.enabled": "false",
        "evaluation.num_resamples": "100",
        "evaluation.figures": "false",
    }
    config = load_config(path, overrides)
    finished = run_training(config, run_dir=demo_dir / config.name)
    held_out = finished.run.predictions_path("validation").read_text().splitlines()[1:]
    clip_ids = [line.partition(",")[0] for line in held_out]
    best = best_possible_r2(config.data.synthetic, clip_ids)
    return finished.report.metrics["r2"]["mean"].value / best


def test_cross_attention_reaches_four_fifths_of_what_can_be_reached(repository, demo_dir):
    assert train(repository / "experiments" / "demo.yaml", demo_dir) >= 0.8


@pytest.mark.parametrize("fusion", BLIND)
def test_a_fusion_that_cannot_choose_a_frame_stays_under_half(fusion, repository, demo_dir):
    path = repository / "experiments" / "ablations" / f"demo_{fusion}.yaml"
    assert train(path, demo_dir) < 0.5
