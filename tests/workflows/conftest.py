"""A small feature set, a small experiment, and a separate MLflow store per test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.loading import load_config, write_config
from pipeline.config.schema import ExperimentConfig, SyntheticConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.data.synthetic import ensure_synthetic_set
from pipeline.records.predictions import Predictions, write_predictions

MakeConfig = Callable[..., ExperimentConfig]


@pytest.fixture(scope="session")
def small_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 clips of 12 groups; both streams are sequences."""
    path = tmp_path_factory.mktemp("small") / "features"
    ensure_synthetic_set(
        path,
        SyntheticConfig(num_clips=60, clips_per_group=5, num_steps=3, static_dim=8, dynamic_dim=4),
    )
    return path


@pytest.fixture(scope="session")
def make_config(small_features: Path) -> MakeConfig:
    """Return a function that configures a short untracked experiment on the small set."""

    def make(**overrides: Any) -> ExperimentConfig:
        quick = {
            "data.features_dir": str(small_features),
            "model.fusion": "concat",
            "model.fusion_dim": 8,
            "model.num_heads": 2,
            "training.num_epochs": 1,
            "evaluation.num_resamples": 100,
            "evaluation.figures": False,
            "tracking.enabled": False,
            "tracking.system_metrics": False,
            "tracking.patience_seconds": 60,
        }
        named = {name.replace("__", "."): value for name, value in overrides.items()}
        return load_config(None, {**quick, **named})

    return make


@pytest.fixture
def make_run(tmp_path: Path, make_config: MakeConfig) -> Callable[..., Path]:
    """Return a function that makes a run directory whose predictions differ by `error`."""

    def make(name: str, error: float, *, split: str = "validation", **settings: Any) -> Path:
        run = RunDirectory(tmp_path / name)
        run.path.mkdir(parents=True)
        write_config(run.config_path, make_config(**settings))
        truth = np.random.default_rng(0).uniform(0.2, 0.8, (20, 5))
        predictions = Predictions(
            clip_ids=[f"clip{row}" for row in range(20)],
            groups=[f"video{row // 2}" for row in range(20)],
            y_pred=truth + error,
            y_true=truth,
        )
        write_predictions(run.predictions_path(split), predictions)
        return run.path

    return make
