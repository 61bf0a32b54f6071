"""A full disk, a file size limit and a locked database lose no value and cause one error line."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import Outcome, only_full, sampled, size, stream
from tests.end_to_end.faults.comparing import compare_with_reference, file_names
from tests.end_to_end.faults.launcher import Ended, Launcher
from tests.end_to_end.faults.mlflow_database import read_runs
from tests.end_to_end.faults.reference import Reference

pytestmark = pytest.mark.slow

LONGEST_DELAY_SECONDS = 20
"""Maximum delay of a run by an outage. The run waits for 5 s at the start and 10 s at the end."""
NUM_LIMITS = 6
LARGEST_OUTPUT = 8192
"""Maximum size of the output of a command in bytes, because the output is also a file."""


def expect_one_error_line(ended: Ended, outcome: Outcome, case: str) -> None:
    """Expect status 2 and one error line."""
    outcome.expect_status(ended, 2, case=case)
    outcome.expect(ended.error_line() != "", f"{case}: {ended.err[-600:]}")


def resume_and_compare(
    launcher: Launcher, reference: Reference, home: Path, run_dir: Path, outcome: Outcome, case: str
) -> None:
    """Resume a run, or repeat it if it had not begun, and compare it with the undisturbed run."""
    ended = launcher.run("train", "--resume", run_dir, cwd=home)
    if ended.status == 2 and not (run_dir / "config.yaml").exists():
        shutil.rmtree(run_dir, ignore_errors=True)
        ended = launcher.run(*reference.options(str(run_dir)), cwd=home)
    ended = launcher.delivered(ended, run_dir, cwd=home)
    outcome.expect(ended.status == 0, f"{case}: resuming: {ended.err[-600:]}")
    if ended.status == 0:
        compare_with_reference(home, reference, outcome, case, run_dir=run_dir)
    outcome.check()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A mounted tmpfs of 64 kB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    """Change the size of a mounted tmpfs."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


def disk_sizes(reference: Reference) -> list[int]:
    """Return disk sizes in kB, so that the disk becomes full at different moments of a run."""
    names = file_names(reference.run_dir)
    # A tmpfs allocates pages of 4 kB.
    total = sum(4 * -(-(reference.run_dir / name).stat().st_size // 4096) for name in names)
    return [4, 16, *(int(total * share) for share in (0.2, 0.4, 0.6, 0.75, 0.85, 0.95))]


@pytest.mark.parametrize("number", sampled(list(range(8)), 1, "disks"))
def test_a_full_disk_is_one_error_line_and_the_run_is_resumed_with_more_space(
    number, small_disk, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("disk full in the run directory, room made, then resume")
    kilobytes = disk_sizes(reference)[number]
    resize(small_disk, kilobytes)
    home = reference.new_directory(tmp_path / "work")
    run_dir = small_disk / "run"
    ended = launcher.run(*reference.options(str(run_dir)), cwd=home)
    case = f"a disk of {kilobytes} kB"
    if ended.status == 0:
        outcome.endings["had room enough"] += 1
    else:
        outcome.times += 1
        expect_one_error_line(ended, outcome, case)
        is_quick = ended.seconds < reference.seconds + reference.limit(LONGEST_DELAY_SECONDS)
        outcome.expect(is_quick, f"{case}: ended after {ended.seconds:.0f} s")
        for run in read_runs(home / "mlflow.db"):
            outcome.expect(run.status != "FINISHED", f"{case}: the MLflow run is {run.status}")
    resize(small_disk, 65536)
    resume_and_compare(launcher, reference, home, run_dir, outcome, case)


@pytest.mark.parametrize("number", sampled(list(range(NUM_LIMITS)), 0, "limits"))
def test_a_file_size_limit_is_one_error_line_and_the_run_is_resumed_without_it(
    number, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("RLIMIT_FSIZE, then resume without it")
    sizes = sorted({(reference.run_dir / n).stat().st_size for n in file_names(reference.run_dir)})
    large = [size for size in sizes if size > LARGEST_OUTPUT]
    limit = large[round((number + 0.5) / NUM_LIMITS * (len(large) - 1))] - 1
    home = reference.new_directory(tmp_path / "work")
    case = f"a limit of {limit} bytes per file"
    ended = launcher.run(*reference.options(), cwd=home, plan={"largest_file": limit})
    outcome.times += 1
    if ended.status == 0:
        outcome.endings["not met by the run directory"] += 1
    elif ended.status != 3:
        expect_one_error_line(ended, outcome, case)
    resume_and_compare(launcher, reference, home, home / "run", outcome, case)


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Lock a SQLite database like another process that writes to it."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


SPANS = {"from the middle on": (0.4, None), "throughout": (0.0, None), "for a while": (0.2, 0.6)}
"""Beginning and end of the lock, as fractions of the duration of the run."""


@pytest.mark.parametrize("when", list(SPANS)[: size(3, 1)])
def test_a_locked_database_loses_no_point(when, launcher, reference, new_outcome, tmp_path):
    outcome = new_outcome("SQLite database locked by another process, then sync")
    home = reference.new_directory(tmp_path / "work")
    begin, end = (share and share * reference.seconds for share in SPANS[when])
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(begin)
    with locked(home / "mlflow.db"):
        outcome.times += 1
        if end is None:
            child.wait()
        else:
            child.leave_running(end - begin)
    ended = child.wait()
    outcome.expect_status(ended, 0, 3, case="locked")
    is_quick = ended.seconds < reference.seconds + reference.limit(LONGEST_DELAY_SECONDS)
    outcome.expect(is_quick, f"{ended.seconds:.0f} s instead of {reference.seconds:.0f}")
    synced = launcher.run("sync", "--run_dir", "run", cwd=home)
    outcome.expect(synced.status == 0, f"sync: {synced.err}")
    compare_with_reference(home, reference, outcome, "locked")
    outcome.check()


@only_full
@pytest.mark.parametrize("repeat", range(3))
def test_deleting_the_run_directory_ends_the_run_with_one_error_line(
    repeat, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("run directory deleted while the run trains")
    home = reference.new_directory(tmp_path / "work")
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(stream("deleted", repeat).uniform(0.4, 0.8) * reference.seconds)
    outcome.times += child.is_running()
    shutil.rmtree(home / "run", ignore_errors=True)
    ended = child.wait()
    outcome.expect_status(ended, 0, 2, 3, case="deleted")
    if ended.status == 2:
        outcome.expect(ended.error_line() != "", ended.err[-600:])
    elif ended.status == 3:  # the run was complete, but MLflow did not have all data
        outcome.expect("was removed" in ended.err, ended.err[-600:])
    for run in read_runs(home / "mlflow.db"):
        outcome.expect(run.status != "RUNNING", f"deleted: the MLflow run is {run.status}")
    outcome.check()
