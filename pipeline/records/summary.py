"""`summary.json` and `environment.json`: result and software of a run."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.core.files import write_json
from pipeline.records.evaluation import Intervals, Overlap
from pipeline.records.typed_json import read_record

RIDGE_NOTE: Final = (
    "no epoch was clearly better than ridge regression, so the scores of the model are those of "
    "the ridge regression (epoch 0), limited smoothly to the range from 0 to 1. They do not depend "
    "on the attention."
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Content of `summary.json`."""

    name: str
    seed: int
    num_epochs: int
    best_epoch: int
    """Best epoch, from 1; 0 if the model has the scores from before training."""
    monitor: str
    """Metric that selected the best epoch, e.g. `val_mae`."""
    best_value: float | None = None
    trainable_weights: int
    total_weights: int
    frozen_at_random: tuple[str, ...] = ()
    """Layers whose weights are random and were not trained."""
    layers: tuple[dict[str, Any], ...] = ()
    """Name, number of weights and state of each layer."""
    num_clips: dict[str, int]
    """Subset, e.g. `train` -> number of clips."""
    num_groups: dict[str, int]
    """Subset, e.g. `train` -> number of groups."""
    group_overlap: dict[str, Overlap] = field(default_factory=dict)
    """Pair of subsets, e.g. `train/validation` -> overlap of their groups."""
    metrics: Intervals | None = None
    """Metrics on the held-out clips; None if no clips were held out."""

    @property
    def is_ridge(self) -> bool:
        """Whether the scores of the model are those of ridge regression; see `RIDGE_NOTE`."""
        return self.best_epoch == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class GitState:
    """Version of the code; empty outside a Git checkout."""

    commit: str = ""
    is_dirty: bool | None = None
    error: str = ""
    """Error message of Git if the state is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Content of `environment.json`."""

    command: str
    git: GitState = GitState()
    python: str
    packages: dict[str, str]
    platform: str
    num_cpus: int | None = None
    device: str | None = None
    """Name of the GPU for training, or "CPU"; None in a process without TensorFlow."""
    hostname: str = ""
    process_id: int | None = None


def write_summary(path: Path, summary: Summary) -> None:
    """Write `summary.json` atomically."""
    write_json(path, dataclasses.asdict(summary))


def read_summary(path: Path) -> Summary:
    """Read `summary.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(Summary, path)
