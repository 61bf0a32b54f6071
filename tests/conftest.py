"""Fixtures for all tests, and the distribution of the tests to processes."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import METRICS
from pipeline.records.epochs import EpochRecord, StepRecords

# The duration of an example depends mostly on the load of the machine.
hypothesis.settings.register_profile("pipeline", deadline=None)
hypothesis.settings.load_profile("pipeline")

REPOSITORY = Path(__file__).resolve().parents[1]

_CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_SHARED_RUNS = {
    f"tests/end_to_end/test_{name}.py": fixture
    for fixture, names in {
        "first": ("train", "evaluate_and_compare", "predict", "sync"),
        "visualized": ("visualize", "report_in_mlflow"),
    }.items()
    for name in names
}
"""Test file -> fixture of the run that the tests of the file share."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run all tests of a file, and all tests that share a run, in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        # pytest 9.2 ignores the marks of `--dist loadgroup` (pytest-xdist issue 1386).
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return _SHARED_RUNS.get(file, file)

    return ByRun(config, log)


def pytest_configure() -> None:
    # Imports create a million objects, mostly in TensorFlow, and none of them is garbage.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000)  # a collection is slow, because many models stay in memory
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with slow tests first, so that no slow file runs alone at the end.

    Raises:
        UsageError: If a file that uses a shared run is not in `_SHARED_RUNS`.
    """
    for item in items:
        file = item.path.relative_to(REPOSITORY).as_posix()
        used = set(_SHARED_RUNS.values()) & set(getattr(item, "fixturenames", ()))
        if used and _SHARED_RUNS.get(file) not in used:
            raise pytest.UsageError(f"{file} uses {', '.join(used)}: add the file to _SHARED_RUNS")
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root directory of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory with real clips, annotations and features, in the parent of the repository."""
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("this machine has no real data (../shared/data)")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, which is required only in CI."""
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "chromium is not installed (Debian package chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; it is required in CI")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def record() -> Callable[..., EpochRecord]:
    """Return a function that creates the record of an epoch with three steps."""

    def make(*, epoch: int = 1, first_step: int = 1, **changes: Any) -> EpochRecord:
        names = (*TRAITS, "mean")
        scores = {
            metric: {name: row + column / 10 for column, name in enumerate(names)}
            for row, metric in enumerate(METRICS)
        }
        values: dict[str, Any] = {
            "epoch": epoch,
            "loss": 0.5,
            "metrics": scores,
            "val_loss": 0.6,
            "val_metrics": scores,
            "learning_rate": 0.01,
            "train_seconds": 2.0,
            "validation_seconds": 0.5,
            "steps": StepRecords(
                first_step=first_step,
                loss=[0.1, 0.2, 0.3],
                mae=[0.25, 0.5, 0.75],
                mse=[0.01, 0.04, 0.09],
                learning_rate=[0.01, 0.01, 0.01],
                seconds=[0.01, 0.02, 0.03],
                wait_seconds=[0.5, 0.0, 0.0],
                time_ms=[1000, 2000, 3000],
            ),
        }
        return EpochRecord(**{**values, **changes})

    return make


@pytest.fixture
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Empty working directory with the default MLflow store."""
    import mlflow

    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(None)
    yield tmp_path
    mlflow.set_tracking_uri(None)
