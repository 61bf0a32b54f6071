"""A store of MLflow's own, a run directory that is mirrored to it, and a real server."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.traits import TRAITS
from pipeline.tracking.run_link import Link, write_link
from pipeline.tracking.store import configure_mlflow, open_store
from tests.tracking.mlflow_server import Server

METRICS = ("accuracy", "mae", "mse", "r2", "pcc", "ccc")

MakeRun = Callable[..., RunDirectory]
TellEpoch = Callable[..., None]


@pytest.fixture(autouse=True)
def own_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep MLflow from the settings of the user, and its own from the next test."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    mlflow.set_tracking_uri(None)
    configure_mlflow()
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables: making them takes seconds, copying them none."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    mlflow.set_tracking_uri(None)
    return path


@pytest.fixture
def store_uri(tmp_path: Path, empty_database: Path) -> str:
    """The URI of an empty store."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def client(store_uri: str) -> MlflowClient:
    """A client of the store, to see what has arrived."""
    return MlflowClient(tracking_uri=store_uri)


@pytest.fixture
def make_run(tmp_path: Path, store_uri: str) -> MakeRun:
    """Return a function that makes a run directory and links it to the store."""

    def make(name: str = "run", **link: Any) -> RunDirectory:
        run = RunDirectory(tmp_path / name)
        run.path.mkdir(parents=True)
        settings = {"tracking_uri": store_uri, "experiment": "ocean", "run_name": "first"}
        write_link(run.tracking_path, Link(**{**settings, **link}))
        return run

    return make


@pytest.fixture(scope="session")
def tell_epoch() -> TellEpoch:
    """Return a function that run logs an epoch, and its checkpoint unless told not to."""

    def tell(run_log: RunLog, epoch: int, *, num_steps: int = 3, committed: bool = True) -> None:
        run_log.log_epoch(epoch_content(epoch, num_steps))
        if committed:
            run_log.log_checkpoint(epoch)

    return tell


def epoch_content(epoch: int, num_steps: int) -> dict[str, Any]:
    scores = {metric: dict.fromkeys(("mean", *TRAITS), 0.1 * epoch) for metric in METRICS}
    values = [0.5 / step for step in range(1, num_steps + 1)]
    first = (epoch - 1) * num_steps + 1
    return {
        "epoch": epoch,
        "loss": 1.0 / epoch,
        "metrics": scores,
        "val_loss": 2.0 / epoch,
        "val_metrics": scores,
        "learning_rate": 1e-3,
        "train_seconds": 1.5,
        "validation_seconds": 0.25,
        "steps": {
            "first_step": first,
            "loss": values,
            "mae": values,
            "mse": values,
            "learning_rate": [1e-3] * num_steps,
            "seconds": [0.01] * num_steps,
            "wait_seconds": [0.001] * num_steps,
            "time_ms": [1_700_000_000_000 + first + step for step in range(num_steps)],
        },
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Server]:
    """A running server with an empty store; starting it takes seconds."""
    directory = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, directory / "mlflow.db")
    server = Server(directory)
    server.start()
    yield server
    server.kill()
