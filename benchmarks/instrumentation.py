"""Compare `pipeline.training.fit` with Keras' `model.fit` on the same arrays.

Both functions train the same model on the built-in set. `pipeline.training.fit` also writes all
logs, all values per step and one checkpoint per epoch. The runs of the two functions alternate. The
benchmark compares the median times.

    python -m benchmarks.instrumentation [--num_epochs 6] [--num_repeats 5]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.schema import ModelConfig, SyntheticConfig, TrainingConfig
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.data.synthetic import ensure_synthetic_set


def main() -> None:
    """Run the benchmark and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_epochs", type=int, default=6)
    parser.add_argument("--num_repeats", type=int, default=5)
    arguments = parser.parse_args()
    import_tensorflow_quietly()
    with tempfile.TemporaryDirectory() as directory:
        features_dir = Path(directory) / "features"
        ensure_synthetic_set(features_dir, SyntheticConfig())
        plain, instrumented = [], []
        for repeat in range(arguments.num_repeats):
            plain.append(time_plain(features_dir, arguments.num_epochs))
            run_dir = Path(directory) / f"run-{repeat}"
            instrumented.append(time_instrumented(features_dir, arguments.num_epochs, run_dir))
    print(
        json.dumps(
            {
                "seconds_per_epoch_plain": round(float(np.median(plain)), 3),
                "seconds_per_epoch_instrumented": round(float(np.median(instrumented)), 3),
                "ratio": round(float(np.median(instrumented) / np.median(plain)), 3),
            }
        )
    )


def time_plain(features_dir: Path, num_epochs: int) -> float:
    """Return the seconds per epoch with `fit` from Keras, without the first epoch (tracing)."""
    import keras

    features, model = _set_and_model(features_dir)
    rows = np.arange(features.num_clips)
    clock = _EpochClock()
    model.compile(keras.optimizers.AdamW(1e-3), "mse", jit_compile=False)
    model.fit(
        [features.streams["static"].read(rows), features.streams["dynamic"].read(rows)],
        features.checked_labels(),
        batch_size=128,
        epochs=num_epochs,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=clock.tick)],
    )
    return clock.seconds_per_epoch()


def time_instrumented(features_dir: Path, num_epochs: int, run_dir: Path) -> float:
    """Return the seconds per epoch with the `fit` of the pipeline, without the first epoch."""
    from pipeline.core.run_directory import RunDirectory
    from pipeline.core.run_log import RunLog
    from pipeline.data.batches import LabelledBatches
    from pipeline.training.fit import FitHooks, fit

    features, model = _set_and_model(features_dir)
    batches = LabelledBatches(features, np.arange(features.num_clips), batch_size=128, seed=0)
    clock = _EpochClock()
    run = RunDirectory(run_dir)
    run_dir.mkdir()
    fit(
        model,
        batches,
        None,
        TrainingConfig(num_epochs=num_epochs, batch_size=128),
        run=run,
        run_log=RunLog(run.run_log_path),
        # The commit is the last step of an epoch, after logs, run log and checkpoint.
        hooks=FitHooks(on_commit=clock.tick),
    )
    return clock.seconds_per_epoch()


class _EpochClock:
    def __init__(self) -> None:
        self._times: list[float] = []

    def tick(self, *_: object) -> None:
        self._times.append(time.perf_counter())

    def seconds_per_epoch(self) -> float:
        return float(np.median(np.diff(self._times)))


def _set_and_model(features_dir: Path) -> tuple[Any, Any]:
    import keras

    from pipeline.config.schema import ExperimentConfig
    from pipeline.data.feature_set import load_feature_set
    from pipeline.workflows.train import build_for

    keras.utils.set_random_seed(0)
    features = load_feature_set(features_dir)
    config = ExperimentConfig(model=ModelConfig(fusion_dim=48, dropout_rate=0.1))
    return features, build_for(config, features)


if __name__ == "__main__":
    main()
