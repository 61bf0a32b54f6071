"""Fixtures: a study with cheap trials, and databases for it."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
import yaml

from pipeline.config.loading import load_config
from pipeline.config.schema import ExperimentConfig, SyntheticConfig
from pipeline.core.urls import sqlite_url
from pipeline.data.synthetic import ensure_synthetic_set
from pipeline.search.space.space_file import load_space
from pipeline.search.study.sampling import quiet_optuna
from pipeline.search.study.storage import open_storage
from pipeline.search.study_spec import StudySpec

MakeSpec = Callable[..., StudySpec]

PARAMETERS = {"fusion_dim": [8, 16], "dropout_rate": {"low": 0.0, "high": 0.5}}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet_optuna()


@pytest.fixture(scope="session")
def small_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Feature set with 60 clips of 12 groups and 3 steps."""
    path = tmp_path_factory.mktemp("small") / "features"
    settings = {"num_clips": 60, "clips_per_group": 5, "num_steps": 3}
    ensure_synthetic_set(path, SyntheticConfig(**settings, static_dim=8, dynamic_dim=4))
    return path


@pytest.fixture
def make_config(small_features: Path) -> Callable[..., ExperimentConfig]:
    """Return a function that builds the configuration of a quick, untracked experiment."""

    def make(**overrides: Any) -> ExperimentConfig:
        quick = {
            "name": "quick",
            "data.features_dir": str(small_features),
            "data.test_fraction": 0.2,
            "model.fusion": "concat",
            "model.fusion_dim": 8,
            "model.num_heads": 2,
            "training.num_epochs": 2,
            "evaluation.num_resamples": 100,
            "evaluation.figures": False,
            "tracking.enabled": False,
            "tracking.system_metrics": False,
            "tracking.patience_seconds": 60,
        }
        named = {name.replace("__", "."): value for name, value in overrides.items()}
        return load_config(None, {**quick, **named})

    return make


@pytest.fixture
def make_spec(tmp_path: Path, make_config) -> MakeSpec:
    """Return a function that builds a study specification with SQLite as default storage."""

    def make(*, parameters: Any = None, storage_url: str = "", **overrides: Any) -> StudySpec:
        config = make_config(**overrides)
        study_dir, space_path = tmp_path / "study", tmp_path / "space.yaml"
        content = {"name": "small", "parameters": parameters or PARAMETERS}
        space_path.write_text(yaml.safe_dump(content, sort_keys=False))
        return StudySpec(
            config=config,
            space=load_space(space_path, config),
            study_name="quick",
            storage_url=storage_url or sqlite_url(study_dir / "study.db"),
            study_dir=study_dir,
        )

    return make


@pytest.fixture
def spec(make_spec: MakeSpec) -> StudySpec:
    """The default specification."""
    return make_spec()


@pytest.fixture
def study(spec: StudySpec) -> optuna.Study:
    """An empty study of `spec`."""
    return create_study(spec)


def create_study(spec: StudySpec) -> optuna.Study:
    """Create the study of a specification without a definition."""
    return optuna.create_study(
        study_name=spec.study_name, storage=open_storage(spec), directions=spec.directions
    )


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An empty database on a PostgreSQL server, started for these tests."""
    binaries = _postgres_binaries()
    # The user of the server has no access to pytest's directory. Its path is too long for a socket.
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = []
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        shutil.chown(directory, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    data = directory / "data"
    subprocess.run(
        [*user, binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=directory,
    )
    server = subprocess.Popen(
        [*user, binaries / "postgres", "-D", data, "-k", directory, "-c", "listen_addresses="],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
    )
    try:
        _wait_for_postgres(f"host={directory} user=postgres dbname=postgres")
        yield f"postgresql+psycopg://postgres@/postgres?host={directory}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(directory)


def _postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    reason = "PostgreSQL is not installed (Debian package postgresql)"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, but CI needs it")
    pytest.skip(reason)


def _wait_for_postgres(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.1)
        else:
            return
