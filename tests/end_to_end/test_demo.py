"""Learning tests: only cross-attention finds the signal in the built-in set.

One face frame determines the traits, and only the motion stream shows which frame this is.
"""

import numpy as np
import pandas as pd
import pytest

from pipeline.config.loading import load_config
from pipeline.data.feature_set import load_feature_set
from pipeline.data.synthetic import best_possible_r2
from pipeline.models.persistence import load_model
from pipeline.records.attention import read_attention, write_attention
from pipeline.workflows.attention import measure_attention
from pipeline.workflows.train import run_training

pytestmark = pytest.mark.slow

NUM_EPOCHS = "14"
"""Fewer than the 40 epochs of the experiment files, but sufficient for the thresholds here."""


@pytest.fixture(scope="module")
def demo_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


def train(path, demo_dir):
    """Train an experiment file."""
    overrides = {
        "data.features_dir": str(demo_dir / "features"),
        "training.num_epochs": NUM_EPOCHS,
        "tracking.enabled": "false",
        "evaluation.num_resamples": "100",
        "evaluation.figures": "false",
    }
    config = load_config(path, overrides)
    return run_training(config, run_dir=demo_dir / config.name)


def share_of_best(trained, config):
    """Return the validation R² as a fraction of the best possible R²."""
    held_out = pd.read_csv(trained.run.predictions_path("validation"))["clip_id"]
    best = best_possible_r2(config.data.synthetic, held_out.tolist())
    return trained.report.metrics["r2"]["mean"].value / best


@pytest.fixture(scope="module")
def cross_attention(repository, demo_dir):
    return train(repository / "experiments" / "demo.yaml", demo_dir)


def test_cross_attention_reaches_four_fifths_of_the_best_possible_r2(cross_attention, repository):
    config = load_config(repository / "experiments" / "demo.yaml")
    assert share_of_best(cross_attention, config) >= 0.8


def test_cross_attention_is_faithful_to_the_planted_signal(cross_attention, demo_dir):
    features = load_feature_set(demo_dir / "features")
    held_out = pd.read_csv(cross_attention.run.predictions_path("validation"))["clip_id"]
    rows = np.flatnonzero(np.isin(features.clip_ids, held_out))
    network = load_model(cross_attention.run.model_path)
    measured = measure_attention(network, features, rows, seed=0)
    write_attention(cross_attention.run.attention_path, measured)
    deletions = read_attention(cross_attention.run.attention_path).deletions

    face = deletions["static"]
    for ranking in ("traits", "rollout"):
        assert face.area(f"{ranking}/top") > 1.5 * face.area("random")
        assert face.area("random") > 3 * face.area(f"{ranking}/bottom")
    # Hiding the one relevant frame increases the error as much as hiding all frames.
    error = face.error["rollout/top"][0]
    assert error[1] > 0.9 * error[-1] > 2 * error[0]

    # Motion affects the traits only indirectly: it shows which frame is relevant.
    motion = deletions["dynamic"]
    assert motion.area("rollout/top") > 1.4 * motion.area("random")
    assert motion.area("random") > 3 * motion.area("rollout/bottom")
    assert motion.area("rollout/top") > motion.area("traits/top")

    # In the sample clips, the frame with the most attention is the planted one.
    marked = dict(zip(features.clip_ids, features.clips["marked_step"].astype(int), strict=True))
    shares_of_clips = measured.sample_trait_rollout["static"]
    for clip_id, shares in zip(measured.sample_ids, shares_of_clips, strict=True):
        assert shares.mean(axis=0).argmax() == marked[clip_id]


@pytest.mark.parametrize("fusion", ["concat", "static_only", "dynamic_only"])
def test_a_fusion_that_cannot_select_a_frame_stays_below_half(fusion, repository, demo_dir):
    path = repository / "experiments" / "ablations" / f"demo_{fusion}.yaml"
    assert share_of_best(train(path, demo_dir), load_config(path)) < 0.5
