"""Sizes of a benchmark, and its shared data and directories."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.data import PAIR, write_set, write_subset
from benchmarks.machine import REPOSITORY
from benchmarks.processes import Finished, run_command
from benchmarks.rows import BATCH_SIZES, GROUPS

_PATIENCE: Final = ("--tracking.patience_seconds", 120)
"""On a busy machine, MLflow can need more than the default, and the run would be incomplete."""
EXPERIMENT: Final = REPOSITORY / "experiments" / "first_impressions.yaml"
SPACE: Final = REPOSITORY / "experiments" / "search" / "cross_attention.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Sizes of all measurements."""

    groups: tuple[str, ...]
    """Groups of rows that are measured by default."""
    max_repeats: int
    budget_seconds: Mapping[str, float]
    """Group of rows -> time for its repeats. There is always at least one repeat."""
    training_clips: Mapping[str, int]
    """Kind of stream that is measured -> number of clips, including the validation clips."""
    batch_sizes: tuple[int, ...]
    num_epochs: Mapping[str, int]
    """Kind of stream -> number of epochs per training; the first is not measured."""
    num_pair_clips: int
    """Number of clips with two vectors of six scores, for `train` and `search`."""
    num_fold_clips: int
    num_loop_trials: int
    """Number of trials of the plain Optuna loop."""
    num_predicted: Mapping[str, int]
    """Kind of stream -> number of predicted clips."""
    large_sizes: tuple[int, ...]
    settings: tuple[str, ...] = ()
    """Options for the commands `train`, in a quick benchmark."""


FULL: Final = Sizes(
    groups=GROUPS,
    max_repeats=5,
    # The budgets are for two idle cores, and sum up to less than ten minutes.
    budget_seconds={
        "training": 110,
        "cross_validation": 45,
        "search": 0,
        "commands": 40,
        "prediction": 30,
        "large_sets": 0,
    },
    training_clips={"sequences": 1000, "vectors": 2500},
    batch_sizes=BATCH_SIZES,
    num_epochs={"sequences": 3, "vectors": 6},
    num_pair_clips=6000,
    num_fold_clips=324,
    num_loop_trials=4,
    num_predicted={"vectors": 10_000, "sequences": 10_000},
    large_sizes=(1_000, 10_000, 100_000),
)

QUICK: Final = Sizes(
    groups=("training", "commands"),
    max_repeats=1,
    budget_seconds=dict.fromkeys(GROUPS, 0.0),
    training_clips={"vectors": 1200},
    batch_sizes=(128,),
    num_epochs={"sequences": 3, "vectors": 6},
    num_pair_clips=1000,
    num_fold_clips=100,
    num_loop_trials=2,
    num_predicted={"vectors": 10_000},
    large_sizes=(1_000, 4_000),
    settings=("--training.num_epochs", "2", "--evaluation.num_resamples", "200"),
)


class Bench:
    """A benchmark that runs in a temporary directory."""

    def __init__(self, sizes: Sizes, directory: Path, features_dir: Path | None = None) -> None:
        self.sizes = sizes
        self.directory = directory
        self._features_dir = features_dir
        self._num_runs = 0

    @functools.cached_property
    def pair_dir(self) -> Path:
        """Feature set with two streams of scores per clip: generated, or given by the user."""
        return self._features_dir or write_set(
            self.directory / "pair", PAIR, num_clips=self.sizes.num_pair_clips
        )

    @functools.cached_property
    def fold_dir(self) -> Path:
        """A small part of `pair_dir`."""
        return write_subset(
            self.directory / "folds", self.pair_dir, num_clips=self.sizes.num_fold_clips
        )

    @functools.cached_property
    def work_dir(self) -> Path:
        """Working directory of the commands. It has an MLflow store, and all caches are warm."""
        work_dir = self.directory / "work"
        work_dir.mkdir()
        warm_up = write_set(self.directory / "warm_up", PAIR, num_clips=60)
        settings = ("--training.num_epochs", 1, "--evaluation.num_resamples", 100)
        run_command(
            ("-m", "pipeline", "train", "--features_dir", warm_up, *settings, *_PATIENCE),
            work_dir=work_dir,
        )
        return work_dir

    def new_run_dir(self) -> Path:
        """Return the path of a new run directory."""
        self._num_runs += 1
        return self.directory / "runs" / f"run-{self._num_runs}"

    def train(
        self, features_dir: Path, *options: object, watches_memory: bool = False
    ) -> tuple[Finished, Path]:
        """Run the command `train`. Return its measurement and its run directory."""
        run_dir = self.new_run_dir()
        finished = run_command(
            (
                *("-m", "pipeline", "train", "--features_dir", features_dir.absolute()),
                *("--run_dir", run_dir, *_PATIENCE, *self.sizes.settings, *options),
            ),
            work_dir=self.work_dir,
            watches_memory=watches_memory,
        )
        return finished, run_dir
