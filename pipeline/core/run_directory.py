"""Paths of the files of one run. The names do not change, because other tools read the files."""

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
"""Default parent directory of new runs."""


class _PathInRun:
    """Attribute of `RunDirectory`: the path of one file or directory in the run directory."""

    def __init__(self, relative_path: str) -> None:
        self._relative_path = relative_path

    def __get__(self, run: "RunDirectory", owner: type) -> Path:
        return run.path / self._relative_path


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Directory of one run."""

    path: Path

    config_path = _PathInRun("config.yaml")
    """Configuration of the run, including default values."""
    run_log_path = _PathInRun("events.jsonl")
    """Run log, the source of truth for the other files."""
    metrics_dir = _PathInRun("batch_metrics")
    """Directory of `metrics_history.json`."""
    time_dir = _PathInRun("time_tracking")
    """Directory of `time_logs.json`."""
    learning_rate_dir = _PathInRun("lr_tracking")
    """Directory of `lr_logs.json`."""
    checkpoints_dir = _PathInRun("checkpoints")
    """One directory per checkpoint, and the file `LAST` with the newest checkpoint's name."""
    initial_path = _PathInRun("checkpoints/initial.npz")
    """Initial weights of the model. The file is removed at the end of the run."""
    model_path = _PathInRun("model.keras")
    """Model of the epoch with the best value of the monitored metric."""
    architecture_path = _PathInRun("architecture.json")
    """Keras configuration of the model, without weights."""
    data_path = _PathInRun("data.json")
    """Hash, shapes and sources of the features."""
    input_example_path = _PathInRun("input_example.npz")
    """Example of model inputs: named arrays of two clips."""
    split_path = _PathInRun("split.csv")
    """Table of the clips with their subset: train, validation or test."""
    baselines_path = _PathInRun("baselines.npz")
    """Baselines fitted on the training clips."""
    calibration_path = _PathInRun("conformal.json")
    """Widths of the prediction intervals, measured on held-out clips."""
    evaluation_path = _PathInRun("evaluation.json")
    """Report of the last evaluation of the model."""
    evaluations_dir = _PathInRun("evaluations")
    """Reports of earlier evaluations, one file per split."""
    attention_path = _PathInRun("attention.npz")
    """Attention weights on held-out clips."""
    report_path = _PathInRun("report.html")
    summary_path = _PathInRun("summary.json")
    """Data, configuration and result of the run."""
    environment_path = _PathInRun("environment.json")
    """Package versions, Git commit and command of the run."""
    manifest_path = _PathInRun("manifest.json")
    """Hashes of other files in the run directory."""
    tracking_path = _PathInRun("mlflow.json")
    """Link to the MLflow run."""
    folds_dir = _PathInRun("folds")
    """One run directory per cross-validation fold."""
    trials_dir = _PathInRun("trials")
    """One run directory per trial of a search."""
    refits_dir = _PathInRun("refits")
    """One run directory per model that is trained again at the end of a search."""
    search_dir = _PathInRun("search")
    study_path = _PathInRun("search/study.json")
    """All trials of a search, for figures and other tools."""

    @property
    def _nested_dirs(self) -> tuple[Path, ...]:
        return self.folds_dir, self.trials_dir, self.refits_dir

    def nested(self) -> "Iterator[RunDirectory]":
        """Yield the nested runs of this run. A nested run precedes its own nested runs."""
        for folder in self._nested_dirs:
            for path in sorted(folder.glob("*")):
                run = RunDirectory(path)
                yield run
                yield from run.nested()

    def predictions_path(self, split: str) -> Path:
        """Return the path of the predictions for the clips of one subset."""
        return self.path / "predictions" / f"{split}.csv"

    def earlier_evaluation_path(self, split: str) -> Path:
        """Return the path of the earlier evaluation of one subset, if another was the last one."""
        return self.evaluations_dir / f"{split}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory during the block. If the process is killed, the lock ends.

        Temporary files of killed processes are removed. Files of nested runs are kept,
        because nested runs have their own locks.

        Raises:
            RunError: If another process holds the lock, or the directory is read-only.
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
            remove_unfinished(self.path, leave=self._nested_dirs)
            yield
        finally:
            lock.release()


def create_run_directory(path: Path | None, *, name: str, parent: Path) -> RunDirectory:
    """Create an empty run directory.

    Args:
        path: Directory of the run, which must be missing or empty. If None, a new directory
            is created in `parent`.
        name: Name of the run, as a part of a new directory name. Special characters are replaced.
        parent: Parent directory of the new directory if `path` is None.

    Raises:
        RunError: If `path` is not empty, or the directory cannot be created.
    """
    if path is None:
        started = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
        # A slash in the name would create a path outside `parent`.
        slug = re.sub(r"[^\w.-]+", "-", name)[:40].strip("-.") or "run"
        path = parent / f"{started}-{slug}-{secrets.token_hex(4)}"
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"{path}: exists and is not empty. Give another --run_dir, or continue the run "
            f"in it with `python -m pipeline train --resume {path}`."
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be created ({error.strerror}). Give a --run_dir that is writable."
        ) from error
    return RunDirectory(path.resolve())


def open_run_directory(path: Path) -> RunDirectory:
    """Return an existing run directory.

    Raises:
        RunError: If the directory is missing or contains no run.
    """
    run = RunDirectory(path.resolve())
    if not path.is_dir():
        raise RunError(f"{path}: there is no such run directory.{did_you_mean_path(path)}")
    if not run.config_path.exists():
        raise RunError(
            f"{path}: contains no config.yaml, so it is not a run directory. "
            "Give a directory that `train` has written."
        )
    return run
