"""Fixtures for the undisturbed run and the launcher, and the table of the injected faults."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest

from pipeline.config.schema import SyntheticConfig
from pipeline.data.synthetic import ensure_synthetic_set
from tests.end_to_end.conftest import clean_environment
from tests.end_to_end.faults.campaign import IS_FULL, SEED, Outcome, markdown_table
from tests.end_to_end.faults.launcher import Launcher
from tests.end_to_end.faults.reference import Reference

_rows: list[dict[str, Any]] = []


@pytest.fixture(scope="session")
def launcher(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """A process that has imported TensorFlow and forks a child process per command."""
    launcher = Launcher(tmp_path_factory.mktemp("launcher"), clean_environment(repository))
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def reference(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The undisturbed run, which all processes of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if base.name.startswith("popen-") else base) / "reference"
    reference = Reference(home / "undisturbed", home / "features", home / "mlflow.db")
    with filelock.FileLock(f"{home}.lock"):
        if not (reference.directory / "seconds").exists():
            _make_reference(reference, launcher)
    return reference


def _make_reference(reference: Reference, launcher: Launcher) -> None:
    sizes = {"num_clips": 60, "clips_per_group": 5, "num_steps": 4}
    settings = SyntheticConfig(**sizes, static_dim=8, dynamic_dim=4)
    ensure_synthetic_set(reference.features_dir, settings)
    made = launcher.run(
        str(reference.empty_store),
        cwd=reference.features_dir,
        call="tests.end_to_end.faults.store:create",
    )
    assert made.status == 0, made.err
    reference.new_directory(reference.directory)
    ended = launcher.run(
        *reference.options(),
        cwd=reference.directory,
        plan={
            "run_dir": str(reference.run_dir),
            "trace": str(reference.directory / "trace"),
        },
    )
    assert ended.status == 0, ended.err
    (reference.directory / "seconds").write_text(str(ended.seconds))


@pytest.fixture
def new_outcome(
    record_property: Callable[[str, object], None],
) -> Iterator[Callable[[str], Outcome]]:
    """Return a function that creates the outcome of a fault and adds it to the table."""
    outcomes: list[Outcome] = []

    def create(fault: str) -> Outcome:
        outcomes.append(Outcome(fault))
        return outcomes[-1]

    yield create
    for outcome in outcomes:
        record_property("outcome", outcome.row())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        _rows.extend(value for name, value in report.user_properties if name == "outcome")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _rows and IS_FULL:
        terminalreporter.section(f"injected faults (seed {SEED})")
        terminalreporter.write_line(markdown_table(_rows))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute single cases of the full campaign, because they share only the undisturbed run."""
    if not IS_FULL:
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)
