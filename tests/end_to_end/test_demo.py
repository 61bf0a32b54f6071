"""The learning test: attention across the streams finds what nothing else here can.

In the built-in set one face frame carries the traits, and only the motion stream says which.
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
"""Enough to see; the experiment files train for 40."""

BLIND = ("concat", "static_only", "dynamic_only")
"""Fusions that cannot use motion to choose a face frame."""


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


def share_of_the_best(finished, config):
    """Return the validation R² of a training as a share of the best possible."""
    held_out = pd.read_csv(finished.run.predictions_path("validation"))["clip_id"]
    best = best_possible_r2(config.data.synthetic, held_out.tolist())
    return finished.report.metrics["r2"]["mean"].value / best


@pytest.fixture(scope="module")
def flagship(repository, demo_dir):
    return train(repository / "experiments" / "demo.yaml", demo_dir)


def test_cross_attention_reaches_four_fifths_of_what_can_be_reached(flagship, repository):
    config = load_config(repository / "experiments" / "demo.yaml")
    assert share_of_the_best(flagship, config) >= 0.8


def test_its_attention_is_faithful_as_the_planted_signal_demands(flagship, demo_dir):
    features = load_feature_set(demo_dir / "features")
    held_out = pd.read_csv(flagship.run.predictions_path("validation"))["clip_id"]
    rows = np.flatnonzero(np.isin(features.clip_ids, held_out))
    found = measure_attention(load_model(flagship.run.model_path), features, rows, seed=0)
    write_attention(flagship.run.attention_path, found)
    deletions = read_attention(flagship.run.attention_path).deletions

    face = deletions["static"]
    for ranking in ("traits", "rollout"):
        assert face.area(f"{ranking}/top") > 1.5 * face.area("random")
        assert face.area("random") > 3 * face.area(f"{ranking}/bottom")
    # One frame carries the traits: without it the error is that of knowing nothing.
    error = face.error["rollout/top"][0]
    assert error[1] > 0.9 * error[-1] > 2 * error[0]

    # The window that says which frame it is reaches the traits by way of the frames.
    motion = deletions["dynamic"]
    assert motion.area("rollout/top") > 1.4 * motion.area("random")
    assert motion.area("random") > 3 * motion.area("rollout/bottom")
    assert motion.area("rollout/top") > motion.area("traits/top")

    # In the clips that are kept, the brightest frame is the planted one.
    marked = dict(zip(features.clip_ids, features.clips["marked_step"].astype(int), strict=True))
    for clip_id, shares in zip(found.sample_ids, found.sample_trait_rollout["static"], strict=True):
        assert shares.mean(axis=0).argmax() == marked[clip_id]


@pytest.mark.parametrize("fusion", BLIND)
def test_a_fusion_that_cannot_choose_a_frame_stays_under_half(fusion, repository, demo_dir):
    path = repository / "experiments" / "ablations" / f"demo_{fusion}.yaml"
    assert share_of_the_best(train(path, demo_dir), load_config(path)) < 0.5
