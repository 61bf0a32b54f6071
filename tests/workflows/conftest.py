"""A small feature set, a small experiment, and a separate MLflow store per test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline.config.loading import load_config
from pipeline.config.schema import ExperimentConfig, SyntheticConfig
from pipeline.data.synthetic import ensure_synthetic_set

MakeConfig = Callable[..., ExperimentConfig]


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty working directory with the default MLflow store."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(None)
    yield tmp_path
    mlflow.set_tracking_uri(None)


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
