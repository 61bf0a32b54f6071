"""Compare the default model with ridge regression on small slices of a feature set.

    python -m benchmarks.small_sets --features_dir DIR --sizes 200,300,500

Each slice contains whole groups, and the slices of one size share no group. In each slice, five
folds hold out groups for the test. The default settings are chosen from the number of training
clips, as in `train` without a configuration file. Both models are fitted on the same clips: 80 % of
the clips of the other folds. The rest selects the best epoch.

The table contains R² of the test clips: the mean over the traits and the folds of a slice, then
the mean over the slices.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from pipeline.config.loading import load_config
from pipeline.config.size_defaults import with_size_defaults
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.seeds import generator
from pipeline.data.batches import LabelledBatches
from pipeline.data.feature_set import FeatureSet, load_feature_set
from pipeline.data.splits import Split, hold_out, split_folds
from pipeline.metrics.regression import exact_metrics
from pipeline.training.fit import FitHooks, fit
from pipeline.workflows.scoring import fit_run_baselines, score
from pipeline.workflows.train import build_for
from pipeline.workflows.training_steps import Experiment, adapt_network

_NUM_FOLDS = 5
_VALIDATION_FRACTION = 0.2


def main() -> None:
    """Fit all slices and folds, and print one line per slice and one per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features_dir", type=Path, required=True)
    parser.add_argument("--sizes", default="200,300,500", help="clips per slice")
    parser.add_argument("--num_slices", type=int, default=5)
    parser.add_argument("overrides", nargs="*", help="settings, e.g. model.fusion_dim=32")
    arguments = parser.parse_args()
    features = load_feature_set(arguments.features_dir)
    overrides = dict(text.split("=", 1) for text in arguments.overrides)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    rows: dict[int, list[FloatArray]] = {size: [] for size in sizes}
    # All sizes advance together, so that an interrupted call has results for each size.
    for number in range(arguments.num_slices):
        for size in sizes:
            clips = slice_of_clips(features, size, number)
            folds = [compare(features, split, overrides) for split in splits(features, clips)]
            rows[size].append(np.mean(folds, axis=0))
            _print(f"{size} clips, slice {number + 1}", rows[size][-1])
    for size in sizes:
        _print(f"{size} clips, mean of {len(rows[size])} slices", np.mean(rows[size], axis=0))


def slice_of_clips(features: FeatureSet, size: int, number: int) -> IntArray:
    """Return the row numbers of a slice of about `size` clips, in whole groups."""
    names, codes, counts = np.unique(features.groups, return_inverse=True, return_counts=True)
    order = generator(size, "slices").permutation(len(names))
    ends = np.cumsum(counts[order])
    chosen = order[(ends > number * size) & (ends <= (number + 1) * size)]
    return np.flatnonzero(np.isin(codes, chosen))


def splits(features: FeatureSet, clips: IntArray) -> Iterator[Split]:
    """Yield one split per fold. The test clips are the held-out clips of the fold."""
    for fold in split_folds(features.groups, num_folds=_NUM_FOLDS, seed=0, rows=clips):
        inner = hold_out(
            features.groups,
            {"train": fold.train, "validation": fold.train[:0]},
            fractions={"validation": _VALIDATION_FRACTION},
            generator=generator(0, "split"),
        )
        yield Split(test=fold.validation, **inner)


def compare(
    features: FeatureSet, split: Split, overrides: dict[str, str]
) -> tuple[float, float, float]:
    """Return R² of the default model, R² of ridge, and 1 if the model has left ridge, else 0."""
    config = load_config(None, overrides)
    config, _ = with_size_defaults(config, overrides, num_clips=len(split.train))
    keras.utils.set_random_seed(config.seed)
    network = build_for(config, features)
    experiment = Experiment(config=config, features=features, split=split)
    baselines = fit_run_baselines(features, split.train, config)
    starts_at_ridge = adapt_network(network, experiment, baselines)
    size = config.training.batch_size
    with tempfile.TemporaryDirectory() as directory:
        run = RunDirectory(Path(directory))
        run.run_log_path.touch()
        result = fit(
            network,
            LabelledBatches(features, split.train, seed=config.seed, batch_size=size),
            LabelledBatches(features, split.validation, batch_size=size),
            config.training,
            run=run,
            run_log=RunLog(run.run_log_path),
            hooks=FitHooks(
                is_resumable=False,
                shows_progress=False,
                start="candidate" if starts_at_ridge else "ignored",
            ),
        )
    scores = score(network, baselines, features, split.test)
    labels = features.checked_labels()[split.test]
    model, ridge = (
        float(np.mean(exact_metrics(labels, predicted)["r2"]))
        for predicted in (scores.predictions.y_pred, scores.baselines["ridge"])
    )
    keras.backend.clear_session()
    return model, ridge, float(result.best_epoch > 0)


def _print(name: str, row: FloatArray) -> None:
    model, ridge, has_left = row
    print(
        f"{name}: default {model:.4f}, ridge {ridge:.4f}, difference {model - ridge:+.4f}, "
        f"left ridge in {has_left:.0%} of the folds",
        flush=True,
    )


if __name__ == "__main__":
    main()
