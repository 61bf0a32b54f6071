"""Fixtures that every part of the suite shares."""

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

# How long an example takes says more about what else the machine does than about the code.
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


_SHARING = {
    f"tests/end_to_end/test_{name}.py": fixture
    for fixture, names in {
        "first": ("train", "evaluate_and_compare", "predict", "sync"),
        "illustrated": ("visualize", "report_in_mlflow"),
    }.items()
    for name in names
}
"""Files that look at one run, by the fixture that trains it."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a file, or files that look at one run, in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        # The marks of `--dist loadgroup` say nothing to pytest 9.2 (pytest-xdist issue 1386).
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return _SHARING.get(file, file)

    return ByRun(config, log)


def pytest_configure() -> None:
    # What tests import, TensorFlow above all, is a million objects of which none is garbage.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000)  # models come and go; a collection goes through all that are left
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long: begun last, one would keep a single process busy.

    Raises:
        UsageError: If a file looks at a shared run and is not named as one that does.
    """
    for item in items:
        file = item.path.relative_to(REPOSITORY).as_posix()
        used = set(_SHARING.values()) & set(getattr(item, "fixturenames", ()))
        if used and _SHARING.get(file) not in used:
            raise pytest.UsageError(f"{file} uses {', '.join(used)}: name it in _SHARING")
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips, annotations and features beside the checkout."""
    path = REPOSITORY.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the real data (../shared/data) is not on this machine")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; CI has to have it, others may do without."""
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "there is no chromium on this machine (Debian package chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI has to have it")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def record() -> Callable[..., EpochRecord]:
    """Return a function that makes the record of an epoch of three steps, with changes."""

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
