"""Where a run keeps its files; the names are a contract with tools that read them."""

import contextlib
import datetime as dt
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import filelock

from pipeline.core.errors import RunError
from pipeline.core.files import remove_unfinished
from pipeline.core.near_names import did_you_mean_path

RUNS_DIR: Final = Path("runs")
"""Where runs are kept that were given no directory."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The directory of one run."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def run_log_path(self) -> Path:
        """The append-only run log, the source of truth."""
        return self.path / "events.jsonl"

    @property
    def metrics_dir(self) -> Path:
        """Home of `metrics_history.json`."""
        return self.path / "batch_metrics"

    @property
    def time_dir(self) -> Path:
        """Home of `time_logs.json`."""
        return self.path / "time_tracking"

    @property
    def learning_rate_dir(self) -> Path:
        """Home of `lr_logs.json`."""
        return self.path / "lr_tracking"

    @property
    def checkpoints_dir(self) -> Path:
        """One directory a checkpoint, and `LAST`, which names the newest."""
        return self.path / "checkpoints"

    @property
    def initial_path(self) -> Path:
        """The variables that a run starts from; removed at the end of the run."""
        return self.checkpoints_dir / "initial.npz"

    @property
    def model_path(self) -> Path:
        """The best model by the monitored metric."""
        return self.path / "model.keras"

    @property
    def architecture_path(self) -> Path:
        """The model without its weights, as Keras writes it."""
        return self.path / "architecture.json"

    @property
    def data_path(self) -> Path:
        """Digest, shapes and sources of the features."""
        return self.path / "data.json"

    @property
    def input_example_path(self) -> Path:
        """The inputs of two clips, by name."""
        return self.path / "input_example.npz"

    @property
    def split_path(self) -> Path:
        """Which clip was on which side."""
        return self.path / "split.csv"

    @property
    def baselines_path(self) -> Path:
        """The baselines, fitted on the training clips."""
        return self.path / "baselines.npz"

    @property
    def calibration_path(self) -> Path:
        """How wide prediction intervals are, measured on the held-out clips."""
        return self.path / "conformal.json"

    @property
    def evaluation_path(self) -> Path:
        """The newest evaluation."""
        return self.path / "evaluation.json"

    @property
    def attention_path(self) -> Path:
        """Where the model looks, measured on held-out clips."""
        return self.path / "attention.npz"

    @property
    def report_path(self) -> Path:
        """The run on one page."""
        return self.path / "report.html"

    @property
    def summary_path(self) -> Path:
        """What was trained, on what, with which result."""
        return self.path / "summary.json"

    @property
    def environment_path(self) -> Path:
        """Versions, commit and command behind the run."""
        return self.path / "environment.json"

    @property
    def manifest_path(self) -> Path:
        """Digests of the other files."""
        return self.path / "manifest.json"

    @property
    def tracking_path(self) -> Path:
        """Which MLflow run mirrors this directory."""
        return self.path / "mlflow.json"

    @property
    def folds_dir(self) -> Path:
        """One run directory a cross-validation fold."""
        return self.path / "folds"

    @property
    def trials_dir(self) -> Path:
        """One run directory a trial of a search."""
        return self.path / "trials"

    @property
    def refits_dir(self) -> Path:
        """One run directory a configuration that a search trained at its end."""
        return self.path / "refits"

    @property
    def search_dir(self) -> Path:
        """What a search found: its trials, and the best configuration."""
        return self.path / "search"

    @property
    def study_path(self) -> Path:
        """Every trial of a search, for figures and for other tools."""
        return self.search_dir / "study.json"

    def nested(self) -> "Iterator[RunDirectory]":
        """Yield the runs inside of this one, outer ones first."""
        for folder in (self.folds_dir, self.trials_dir, self.refits_dir):
            for path in sorted(folder.glob("*")):
                run = RunDirectory(path)
                yield run
                yield from run.nested()

    def predictions_path(self, split: str) -> Path:
        """The predictions of one split, one row a clip."""
        return self.path / "predictions" / f"{split}.csv"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process alone; the lock ends with the process.

        The temporary files that a kill has left in this run are removed; nested runs have locks
        of their own.

        Raises:
            RunError: If another process is writing to the directory, or it is read-only.
        """
        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"{self.path}: another process is writing to this run. "
                "Wait for it to end, or stop it, and try again."
            ) from None
        except OSError as error:
            raise RunError(
                f"{self.path}: cannot be written to ({error.strerror}). Write elsewhere with "
                "--output_dir if the command has that option, or work on a copy of the run."
            ) from error
        try:
            nested = (self.folds_dir, self.trials_dir, self.refits_dir)
            remove_unfinished(self.path, leave=nested)
            yield
        finally:
            lock.release()


def create_run_directory(path: Path | None, *, name: str, parent: Path) -> RunDirectory:
    """Create an empty run directory: `path` itself, or a new one under `parent`.

    Args:
        path: Directory of the run; missing or empty. None makes a name.
        name: What the run is called; what cannot stand in a file name is replaced.
        parent: Where a directory of a new name is made.

    Raises:
        RunError: If `path` exists and is not empty, or no directory can be made.
    """
    if path is None:
        started = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
        path = parent / f"{started}-{_slug(name)}-{secrets.token_hex(4)}"
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"{path}: exists and is not empty. Give another --run_dir, or continue the run "
            f"in it with `python -m pipeline train --resume {path}`."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be made ({error.strerror}). Give a --run_dir that can be written to."
        ) from error
    return RunDirectory(path.resolve())


def _slug(name: str) -> str:
    """Return `name` as a part of a file name: a slash would lead out of the parent."""
    return re.sub(r"[^\w.-]+", "-", name)[:40].strip("-.") or "run"


def open_run_directory(path: Path) -> RunDirectory:
    """Return an existing run directory.

    Raises:
        RunError: If it is missing or holds no run.
    """
    run = RunDirectory(path.resolve())
    if not path.is_dir():
        raise RunError(f"{path}: there is no such run directory.{did_you_mean_path(path)}")
    if not run.config_path.exists():
        raise RunError(
            f"{path}: holds no config.yaml, so it is not a run directory. "
            "Give a directory that `train` has written."
        )
    return run
