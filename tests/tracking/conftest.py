import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline.core.files import write_arrays, write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.evaluation.intervals.conformal import calibrate
from pipeline.records.calibration import Calibration, write_calibration
from pipeline.records.data_description import DataDescription, write_data
from pipeline.tracking.log_model import log_model
from pipeline.tracking.mirror import Mirror
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.tracking.run_link import Link, read_link, write_link
from pipeline.tracking.store import open_store
from tests.tracking.mlflow_server import Server

METRICS = ("accuracy", "mae", "mse", "r2", "pcc", "ccc")

MakeRun = Callable[..., RunDirectory]
LogEpoch = Callable[..., None]


@pytest.fixture(autouse=True)
def own_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the MLflow settings of the user and of other tests."""
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
    """An MLflow database without runs. Tests copy it, because its creation takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    mlflow.set_tracking_uri(None)
    return path


@pytest.fixture
def store_uri(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def client(store_uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=store_uri)


@pytest.fixture
def make_run(tmp_path: Path, store_uri: str) -> MakeRun:
    """A function that creates a run directory with a link to the store."""

    def make(name: str = "run", **link: Any) -> RunDirectory:
        run = RunDirectory(tmp_path / name)
        run.path.mkdir(parents=True)
        settings = {"tracking_uri": store_uri, "experiment": "ocean", "run_name": "first"}
        write_link(run.tracking_path, Link(**{**settings, **link}))
        return run

    return make


@pytest.fixture
def hanging_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that hangs when it is opened."""
    released = threading.Event()

    def hang(uri: str) -> None:
        released.wait(60)
        raise ConnectionError(uri)

    monkeypatch.setattr("pipeline.tracking.mirror.open_store", hang)
    yield
    released.set()


@pytest.fixture(scope="session")
def log_epoch() -> LogEpoch:
    """A function that logs an epoch and its checkpoint."""

    def log(
        run_log: RunLog, epoch: int, *, num_steps: int = 3, has_checkpoint: bool = True
    ) -> None:
        run_log.log_epoch(epoch_content(epoch, num_steps))
        if has_checkpoint:
            run_log.log_checkpoint(epoch)

    return log


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
    directory = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, directory / "mlflow.db")
    server = Server(directory)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def network() -> Any:
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    return CompletePersonalityModel(
        3, 4, fusion_dim=8, num_heads=2, static_steps=5, static_masked=True
    )


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    rng = np.random.default_rng(1)
    groups = [f"g{index}" for index in range(20)]
    return calibrate(rng.random((20, 5)), rng.random((20, 5)), groups, trait_names=TRAITS)


@pytest.fixture(scope="session")
def logged(
    tmp_path_factory: pytest.TempPathFactory,
    empty_database: Path,
    network: Any,
    model_inputs: dict[str, np.ndarray],
    calibration: Calibration,
) -> tuple[str, str]:
    """URI of the store and id of a run with the registered model `ocean@champion`."""
    directory = tmp_path_factory.mktemp("logged")
    shutil.copy(empty_database, directory / "mlflow.db")
    uri = f"sqlite:///{directory / 'mlflow.db'}"
    with contextlib.chdir(directory):  # MLflow stores the artifacts there
        run, run_id = make_tracked_model(directory / "run", uri, network, model_inputs)
        write_calibration(run.calibration_path, calibration)
        log_model(run, run_id, registered_name="ocean", alias="champion")
    return uri, run_id


@pytest.fixture(scope="session")
def model_inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = np.ones((2, 5), np.float32)
    mask[0, 3:] = 0
    return {
        "static": rng.normal(size=(2, 5, 3)).astype(np.float32),
        "dynamic": rng.normal(size=(2, 4)).astype(np.float32),
        "static_mask": mask,
    }


def make_tracked_model(
    path: Path, uri: str, network: Any, inputs: dict[str, np.ndarray]
) -> tuple[RunDirectory, str]:
    """Create a run directory with a model, and its MLflow run."""
    from pipeline.models.persistence import save_model

    run = RunDirectory(path)
    save_model(network, run.model_path)
    write_arrays(run.input_example_path, inputs)
    write_text(run.config_path, "seed: 0\n")
    write_text(run.split_path, "clip_id,group,split\n")
    data = DataDescription(
        digest="",
        num_clips=2,
        streams={"static": [2, 5, 3], "dynamic": [2, 4]},
        sources=[],
        traits=FIRST_IMPRESSIONS,
    )
    write_data(run.data_path, data)
    write_link(run.tracking_path, Link(tracking_uri=uri, experiment="ocean", run_name="first"))
    Mirror(run).deliver()
    link = read_link(run.tracking_path)
    assert link is not None
    return run, link.run_id
