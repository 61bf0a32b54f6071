"""A full disk, a file limit and a locked database cost no value, and are said in one line."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Toll, sampled, size, stream
from tests.end_to_end.faults.comparing import differences, file_names
from tests.end_to_end.faults.launcher import Ended, Launcher
from tests.end_to_end.faults.mlflow_database import count_differences, read_runs
from tests.end_to_end.faults.reference import Reference

pytestmark = pytest.mark.slow

LONGEST_DELAY_SECONDS = 20
"""At the start a run waits for MLflow 5 s at most, at the end 10 s; the rest is the machine's."""
NUM_LIMITS = 6
LARGEST_OUTPUT = 8192
"""Bytes that a command prints at the most: its output is a file too."""


def check_refusal(ended: Ended, toll: Toll, case: str) -> None:
    """Check that a command that could not write ended soon, in one line."""
    toll.endings[f"status {ended.status}"] += 1
    toll.expect(not ended.has_traceback, f"{case}: {ended.err[-800:]}")
    toll.expect(ended.status == 2, f"{case}: status {ended.status}, {ended.err[-600:]}")
    toll.expect(ended.error_line() != "", f"{case}: says {ended.err[-600:]}")


def go_on(
    launcher: Launcher, reference: Reference, home: Path, run_dir: Path, toll: Toll, case: str
) -> None:
    """Resume a run, or start it again where it had not begun, and compare the values."""
    ended = launcher.run("train", "--resume", run_dir, cwd=home)
    if ended.status == 2 and not (run_dir / "config.yaml").exists():
        shutil.rmtree(run_dir, ignore_errors=True)
        ended = launcher.run(*reference.options(str(run_dir)), cwd=home)
    ended = launcher.delivered(ended, run_dir, cwd=home)
    toll.expect(ended.status == 0, f"{case}: the resume says {ended.err[-600:]}")
    if ended.status == 0:
        for difference in differences(run_dir, reference.run_dir):
            toll.lose(f"{case}: {difference}")
        count_differences(home / "mlflow.db", reference.database, toll, case)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A tmpfs of 64 kB; `grow` makes it large."""
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
    """Give a mounted tmpfs another size."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


def disk_sizes(reference: Reference) -> list[int]:
    """Return sizes in kB at which a run fills the disk at different moments."""
    names = file_names(reference.run_dir)
    # A tmpfs gives out pages of 4 kB.
    total = sum(4 * -(-(reference.run_dir / name).stat().st_size // 4096) for name in names)
    return [4, 16, *(int(total * share) for share in (0.2, 0.4, 0.6, 0.75, 0.85, 0.95))]


@pytest.mark.parametrize("number", sampled(list(range(8)), 1, "disks"))
def test_a_full_disk_is_said_in_one_line_and_the_run_goes_on_when_there_is_room(
    number, small_disk, launcher, reference, toll_of, tmp_path
):
    toll = toll_of("disk full in the run directory, room made, then resume")
    kilobytes = disk_sizes(reference)[number]
    resize(small_disk, kilobytes)
    home = reference.workplace(tmp_path / "work")
    run_dir = small_disk / "run"
    ended = launcher.run(*reference.options(str(run_dir)), cwd=home)
    case = f"a disk of {kilobytes} kB"
    if ended.status == 0:
        toll.endings["had room enough"] += 1
    else:
        toll.times += 1
        check_refusal(ended, toll, case)
        is_quick = ended.seconds < reference.seconds + reference.limit(LONGEST_DELAY_SECONDS)
        toll.expect(is_quick, f"{case}: took {ended.seconds:.0f} s")
        for run in read_runs(home / "mlflow.db"):
            toll.expect(run.status != "FINISHED", f"{case}: the MLflow run is {run.status}")
    resize(small_disk, 65536)
    go_on(launcher, reference, home, run_dir, toll, case)
    toll.check()


@pytest.mark.parametrize("number", sampled(list(range(NUM_LIMITS)), 0, "limits"))
def test_a_file_limit_is_said_in_one_line_and_the_run_goes_on_without_it(
    number, launcher, reference, toll_of, tmp_path
):
    toll = toll_of("RLIMIT_FSIZE, then resume without it")
    sizes = sorted({(reference.run_dir / n).stat().st_size for n in file_names(reference.run_dir)})
    large = [size for size in sizes if size > LARGEST_OUTPUT]
    limit = large[round((number + 0.5) / NUM_LIMITS * (len(large) - 1))] - 1
    home = reference.workplace(tmp_path / "work")
    case = f"a limit of {limit} bytes per file"
    ended = launcher.run(*reference.options(), cwd=home, plan={"largest_file": limit})
    toll.times += 1
    if ended.status == 0:
        toll.endings["not met by the run directory"] += 1
    elif ended.status != 3:
        check_refusal(ended, toll, case)
    go_on(launcher, reference, home, home / "run", toll, case)
    toll.check()


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold a SQLite database as another process does that writes to it."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


SPANS = {"from the middle on": (0.4, None), "throughout": (0.0, None), "for a while": (0.2, 0.6)}
"""Shares of the run's time when another process locks the database and lets it go."""


@pytest.mark.parametrize("when", list(SPANS)[: size(3, 1)])
def test_a_locked_database_costs_no_point(when, launcher, reference, toll_of, tmp_path):
    toll = toll_of("SQLite database locked by another process, then sync")
    home = reference.workplace(tmp_path / "work")
    begin, end = (share and share * reference.seconds for share in SPANS[when])
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(begin)
    with locked(home / "mlflow.db"):
        toll.times += 1
        if end is None:
            child.wait()
        else:
            child.leave_running(end - begin)
    ended = child.wait()
    toll.endings[f"status {ended.status}"] += 1
    toll.expect(ended.status in (0, 3), f"status {ended.status}: {ended.err[-600:]}")
    toll.expect(not ended.has_traceback, ended.err[-600:])
    is_quick = ended.seconds < reference.seconds + reference.limit(LONGEST_DELAY_SECONDS)
    toll.expect(is_quick, f"{ended.seconds:.0f} s instead of {reference.seconds:.0f}")
    synced = launcher.run("sync", "--run_dir", "run", cwd=home)
    toll.expect(synced.status == 0, f"sync says {synced.err}")
    for difference in differences(home / "run", reference.run_dir):
        toll.lose(difference)
    count_differences(home / "mlflow.db", reference.database, toll, "locked")
    toll.check()


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
@pytest.mark.parametrize("repeat", range(3))
def test_a_run_whose_directory_is_deleted_ends_in_one_line(
    repeat, launcher, reference, toll_of, tmp_path
):
    toll = toll_of("run directory deleted while the run trains")
    home = reference.workplace(tmp_path / "work")
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(stream("deleted", repeat).uniform(0.4, 0.8) * reference.seconds)
    toll.times += child.is_running()
    shutil.rmtree(home / "run", ignore_errors=True)
    ended = child.wait()
    toll.endings[f"status {ended.status}"] += 1
    if ended.status == 3:  # all was written, and MLflow did not have all of it
        toll.expect(not ended.has_traceback, ended.err[-600:])
        toll.expect("was removed while the run was going on" in ended.err, ended.err[-600:])
    elif ended.status != 0:
        check_refusal(ended, toll, "deleted")
    for run in read_runs(home / "mlflow.db"):
        toll.expect(run.status != "RUNNING", f"deleted: the MLflow run is {run.status}")
    toll.check()
