"""A small feature set, a small network, and a function that fits the network.

60 clips in ten groups: 44 training clips, in three batches with a partial last one, and 16
validation clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.config.schema import TrainingConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.data.batches import LabelledBatches
from pipeline.data.feature_set import FeatureSet, load_feature_set
from pipeline.data.writer import StreamValues, write_feature_set
from pipeline.training.fit import FitHooks, FitResult, Start, fit

TRAIN, VALIDATION = np.arange(44), np.arange(44, 60)

CONFIG = TrainingConfig(num_epochs=5, batch_size=16, steps_per_execution=1, learning_rate=1e-2)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A fit and its results."""

    result: FitResult
    network: keras.Model
    run: RunDirectory

    @property
    def weights(self) -> list[bytes]:
        """The bytes of every variable."""
        return [np.asarray(variable).tobytes() for variable in self.network.variables]


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """Functions that build and fit small networks."""

    features: FeatureSet

    def network(self, *, dropout_rate: float = 0.25, activation: str = "sigmoid") -> keras.Model:
        """Build a network, always with the same initial weights."""
        keras.utils.set_random_seed(0)
        static = keras.Input((4, 6), name="static")
        dynamic = keras.Input((5,), name="dynamic")
        pooled = keras.layers.GlobalAveragePooling1D(name="pooled")(static)
        joined = keras.layers.Concatenate(name="joined")([pooled, dynamic])
        hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(joined)
        hidden = keras.layers.Dropout(dropout_rate, name="dropout")(hidden)
        scores = keras.layers.Dense(5, activation=activation, name="scores")(hidden)
        return keras.Model([static, dynamic], scores, name="small")

    def training(self, *, seed: int | None = 0, batch_size: int = 16) -> LabelledBatches:
        return LabelledBatches(self.features, TRAIN, batch_size=batch_size, seed=seed)

    def validation(self, *, batch_size: int = 16) -> LabelledBatches:
        return LabelledBatches(self.features, VALIDATION, batch_size=batch_size)

    def fit(
        self,
        run_dir: Path,
        *,
        network: keras.Model | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        validated: bool = True,
        seed: int = 0,
        is_resumable: bool = True,
        start: Start = "ignored",
        **changes: Any,
    ) -> Fitted:
        """Fit in a run directory, and continue from the last checkpoint if it exists."""
        run_dir.mkdir(exist_ok=True)
        run = RunDirectory(run_dir)
        config = replace(CONFIG, **changes)
        network = network or self.network()
        result = fit(
            network,
            self.training(seed=seed, batch_size=config.batch_size),
            self.validation(batch_size=config.batch_size) if validated else None,
            config,
            run=run,
            run_log=RunLog(run.run_log_path),
            hooks=FitHooks(callbacks=callbacks, is_resumable=is_resumable, start=start),
        )
        return Fitted(result=result, network=network, run=run)


@pytest.fixture
def run_log(tmp_path: Path) -> RunLog:
    return RunLog(tmp_path / "events.jsonl")


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    rng = np.random.default_rng(0)
    static = rng.normal(size=(60, 4, 6)).astype(np.float32)
    dynamic = rng.normal(size=(60, 5)).astype(np.float32)
    logits = dynamic + static.mean(axis=1)[:, :5] + rng.normal(0.0, 0.3, (60, 5))
    features_dir = tmp_path_factory.mktemp("features") / "small"
    write_feature_set(
        features_dir,
        streams={"static": StreamValues(values=static), "dynamic": StreamValues(values=dynamic)},
        labels=1 / (1 + np.exp(-logits)),
        clips=pd.DataFrame(
            {
                "clip_id": [f"clip{row:02d}" for row in range(60)],
                "group": [f"video{row // 6}" for row in range(60)],
            }
        ),
    )
    return Laboratory(features=load_feature_set(features_dir))
