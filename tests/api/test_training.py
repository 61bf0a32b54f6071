import pytest

import pipeline
from pipeline.config.schema import SyntheticConfig
from pipeline.core.errors import ConfigError, FeatureSetError, ModelError
from pipeline.data.synthetic import ensure_synthetic_set

QUICK = {
    "model.fusion": "concat",
    "training.num_epochs": 1,
    "evaluation.num_resamples": 100,
    "evaluation.figures": False,
    "tracking.enabled": False,
    "tracking.system_metrics": False,
}


@pytest.fixture
def features_dir(own_directory):
    """60 clips of 12 groups, in the working directory."""
    shape = {"num_steps": 3, "static_dim": 8, "dynamic_dim": 4}
    ensure_synthetic_set(
        own_directory / "features", SyntheticConfig(num_clips=60, clips_per_group=5, **shape)
    )
    return "features"


@pytest.mark.slow
def test_a_training_returns_its_run(features_dir, own_directory):
    run = pipeline.train(
        QUICK, features_dir=features_dir, settings={"seed": 3}, run_dir="mine", output="m.keras"
    )
    assert run.path == own_directory / "mine"
    assert (own_directory / "m.keras").exists()
    assert (run.config.seed, run.config.model.fusion) == (3, "concat")
    assert run.config.model.fusion_dim == 16  # chosen from the number of clips
    assert len(run.history) == 1
    assert run.evaluation.report.num_clips == len(run.predictions()) == 10
    # A finished run does not change.
    resumed = pipeline.resume(run)
    assert resumed.history.equals(run.history)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"settings": {"training.num_epoch": 3}}, ConfigError, "num_epochs"),
        ({"output": "model.pkl"}, ModelError, r"model\.pkl"),
        ({"features_dir": "nowhere"}, FeatureSetError, "nowhere"),
        ({"config": "nowhere.yaml"}, ConfigError, r"nowhere\.yaml"),
    ],
    ids=["setting", "output", "features", "configuration"],
)
def test_a_wrong_argument_is_an_error_before_a_run_is_made(
    features_dir, own_directory, arguments, error, message
):
    with pytest.raises(error, match=message):
        pipeline.train(**{"config": QUICK, "features_dir": features_dir, **arguments})
    assert not (own_directory / "runs").exists()
