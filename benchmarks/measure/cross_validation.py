"""Time of `train` with five folds, beside `train` with a single split, for a small set.

Both commands have no configuration file. Cross-validation trains a model per fold, and then the
final model.
"""

from benchmarks.bench import Bench
from benchmarks.rows import Result, find_row
from benchmarks.timing import interleave


def measure(bench: Bench) -> list[Result]:
    """Measure both commands."""
    features_dir, folds = bench.fold_dir, ("--training.num_folds", 5)
    assert bench.work_dir.exists()
    rounds = interleave(
        {
            "rival": lambda: bench.train(features_dir)[0].seconds,
            "ours": lambda: bench.train(features_dir, *folds)[0].seconds,
        },
        max_repeats=bench.sizes.max_repeats,
        budget_seconds=bench.sizes.budget_seconds["cross_validation"],
    )
    return [
        Result(
            row=find_row("cross_validation"),
            ours=[each["ours"] for each in rounds],
            rival=[each["rival"] for each in rounds],
        )
    ]
