"""The run that is not disturbed, with which all others are compared."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.faults.injection import Boundary

IDLE_SECONDS = 6.0
"""How long the run takes on two idle cores."""


@dataclass(frozen=True)
class Reference:
    """An undisturbed run, and what is needed to start the same run elsewhere."""

    directory: Path
    """Working directory of the run: `run` and `mlflow.db` are in it."""
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
        """How long the undisturbed run took."""
        return float((self.directory / "seconds").read_text())

    def limit(self, seconds: float) -> float:
        """Return a time limit of an idle machine as this machine, busy as it is, needs it."""
        return seconds * max(1.0, self.seconds / IDLE_SECONDS)

    @property
    def boundaries(self) -> list[Boundary]:
        """Every moment at which the run changed a file or MLflow."""
        return [Boundary(*each) for each in json.loads((self.directory / "trace").read_text())]

    def options(self, run_dir: str = "run") -> tuple[object, ...]:
        """Return the arguments of `train` that give this run."""
        return (
            *("train", "--features_dir", self.features_dir, "--run_dir", run_dir),
            *("--training.num_epochs", 3, "--training.batch_size", 8, "--model.fusion", "concat"),
            *("--training.early_stopping_patience", 3, "--model.fusion_dim", 8),
            *("--model.num_heads", 2, "--data.test_fraction", 0.2),
            *("--evaluation.num_resamples", 100, "--evaluation.figures", "false"),
            *("--tracking.system_metrics", "false"),
        )

    def workplace(self, directory: Path) -> Path:
        """Return a new working directory with an empty MLflow store."""
        directory.mkdir(parents=True)
        shutil.copy(self.empty_store, directory / "mlflow.db")
        return directory
