"""The undisturbed run, with which all other runs are compared."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.faults.injection import Boundary

IDLE_SECONDS = 6.0
"""Duration of the run on two idle cores."""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run, and the inputs to repeat it in another directory."""

    directory: Path
    """Working directory, which contains `run` and `mlflow.db`."""
    features_dir: Path
    empty_store: Path
    """An MLflow database without runs."""

    @property
    def run_dir(self) -> Path:
        return self.directory / "run"

    @property
    def database(self) -> Path:
        return self.directory / "mlflow.db"

    @property
    def seconds(self) -> float:
        """Duration of the undisturbed run."""
        return float((self.directory / "seconds").read_text())

    def limit(self, seconds: float) -> float:
        """Return a time limit for this machine, given the limit for an idle machine."""
        return seconds * max(1.0, self.seconds / IDLE_SECONDS)

    @property
    def boundaries(self) -> list[Boundary]:
        """All boundaries of the run."""
        return [Boundary(*each) for each in json.loads((self.directory / "trace").read_text())]

    def options(self, run_dir: str = "run") -> tuple[object, ...]:
        """Return the arguments that repeat the run in a run directory."""
        return (
            *("train", "--features_dir", self.features_dir, "--run_dir", run_dir),
            *("--training.num_epochs", 3, "--training.batch_size", 8, "--model.fusion", "concat"),
            *("--training.early_stopping_patience", 3, "--model.fusion_dim", 8),
            *("--model.num_heads", 2, "--data.test_fraction", 0.2),
            *("--evaluation.num_resamples", 100, "--evaluation.figures", "false"),
            *("--tracking.system_metrics", "false"),
        )

    def new_directory(self, directory: Path) -> Path:
        """Create and return a working directory with an empty MLflow store."""
        directory.mkdir(parents=True)
        shutil.copy(self.empty_store, directory / "mlflow.db")
        return directory
