"""A run that is killed at any moment resumes with the values of the undisturbed run."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Outcome, sampled, size, stream
from tests.end_to_end.faults.comparing import compare_with_reference, differences
from tests.end_to_end.faults.injection import Boundary
from tests.end_to_end.faults.launcher import Child, Ended, Launcher
from tests.end_to_end.faults.reference import Reference

pytestmark = pytest.mark.slow

NUM_SHARDS = size(20, 1)
NUM_RANDOM_RUNS, NUM_RANDOM_KILLS = size(17, 1), size(3, 1)
NUM_FIGURE_KILLS = size(10, 0)
KILLS_PER_PHASE = 2
KILLED = -signal.SIGKILL


class KilledRun:
    """A run that is killed and resumed several times until it is finished."""

    def __init__(
        self, launcher: Launcher, reference: Reference, home: Path, outcome: Outcome
    ) -> None:
        self._launcher = launcher
        self._reference = reference
        self._home = reference.new_directory(home)
        self._outcome = outcome
        self._attempt = 0
        self._kills: list[str] = []

    @property
    def run_dir(self) -> Path:
        return self._home / f"run{self._attempt or ''}"

    @property
    def case(self) -> str:
        return "; ".join(self._kills)

    def begin(self, kill_at: Boundary | None = None) -> Child:
        """Start or resume the run; kill it at a boundary if `kill_at` is given."""
        if self._can_be_resumed():
            command = ("train", "--resume", self.run_dir)
        else:
            command = self._reference.options(self.run_dir.name)
        plan = {"run_dir": str(self.run_dir), "kill_at": kill_at} if kill_at else None
        return self._launcher.start(*command, cwd=self._home, plan=plan)

    def was_killed(self, ended: Ended, description: str) -> bool:
        """Return True if a process was killed; otherwise check its successful end."""
        self._kills.append(description)
        if ended.status != KILLED:
            self._check_end(self._delivered(ended))
            return False
        self._outcome.times += 1
        return True

    def conclude(self) -> None:
        """Finish the run, and compare it with the undisturbed run."""
        ended = self._delivered(self.begin().wait())
        self._check_end(ended)
        if ended.status != 0:
            return
        self._outcome.endings["resumed to the same values"] += 1
        compare_with_reference(
            self._home, self._reference, self._outcome, self.case, run_dir=self.run_dir
        )

    def _delivered(self, ended: Ended) -> Ended:
        return self._launcher.delivered(ended, self.run_dir, cwd=self._home)

    def _check_end(self, ended: Ended) -> None:
        # The small set has too few validation groups for prediction intervals, with one warning.
        lines = [line for line in ended.err.splitlines() if "prediction intervals" not in line]
        is_clean = ended.status == 0 and not lines
        self._outcome.expect(is_clean, f"{self.case}: status {ended.status}, {ended.err[-600:]}")

    def _can_be_resumed(self) -> bool:
        """Return True if the run can be resumed; otherwise choose a new run directory."""
        if not self.run_dir.exists() or (self.run_dir / "config.yaml").exists():
            return self.run_dir.exists()
        ended = self._launcher.run("train", "--resume", self.run_dir, cwd=self._home)
        if ended.status == 0:
            return True
        names_it = ended.status == 2 and str(self.run_dir) in ended.error_line()
        self._outcome.expect(names_it, f"{self.case}: resuming: {ended.err}")
        self._attempt += 1
        return False


def chosen(boundaries: list[Boundary]) -> list[Boundary]:
    """Return the boundaries at which a kill leaves different files.

    A file is written under a temporary name, synced and renamed. A kill leaves no file, an empty
    file or a complete file. A line of the run log is missing, torn or complete.
    """
    seen: set[str] = set()
    kept = []
    for boundary in boundaries:
        kind, _, name = boundary.name.partition(" ")
        is_temporary = name.rpartition("/")[2].startswith(".")
        is_wanted = (
            kind in ("rename", "torn", "mlflow", "rmdir")
            or (kind == "fsync" and name.endswith(".jsonl"))
            or (kind == "open" and is_temporary and boundary.count % 3 == 2)
            or (kind in ("open", "remove") and not is_temporary)
            or (kind == "mkdir" and boundary.count == 1)
        )
        # The boundaries of epoch 3 repeat those of epoch 2.
        is_new = boundary.phase != "epoch-00002" or boundary.name not in seen
        if is_wanted and is_new and "lock" not in name:
            kept.append(boundary)
        seen.add(boundary.name)
    return kept


def kill_sequences(boundaries: list[Boundary]) -> list[list[Boundary]]:
    """Return lists of boundaries; one run can reach all boundaries of a list in this order."""
    phases: dict[str, list[Boundary]] = {}
    for boundary in boundaries:
        phases.setdefault(boundary.phase, []).append(boundary)
    number = -(-max(map(len, phases.values())) // KILLS_PER_PHASE)
    columns = [
        phase[begin : begin + number]
        for phase in phases.values()
        for begin in range(0, len(phase), number)
    ]
    return [[column[row] for column in columns if row < len(column)] for row in range(number)]


@pytest.mark.parametrize("shard", range(NUM_SHARDS))
def test_a_run_killed_at_boundaries_ends_with_identical_values(
    shard, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("SIGKILL at a boundary, then resume")
    missed: list[Boundary] = []
    sequences = kill_sequences(chosen(reference.boundaries))[shard::NUM_SHARDS]
    for number, sequence in enumerate(sampled(sequences, 1, "boundaries")):
        run = KilledRun(launcher, reference, tmp_path / str(number), outcome)
        targets = sorted(sampled(sequence, 3, "targets"), key=sequence.index)
        for index, target in enumerate(targets):
            if not run.was_killed(run.begin(target).wait(), f"killed at {target}"):
                # The run has ended, so separate runs reach the remaining boundaries.
                missed += targets[index:]
                break
        run.conclude()
    for number, target in enumerate(missed if IS_FULL else []):
        run = KilledRun(launcher, reference, tmp_path / f"again-{number}", outcome)
        run.was_killed(run.begin(target).wait(), f"killed at {target}")
        run.conclude()
    outcome.check()


@pytest.mark.parametrize("number", range(NUM_RANDOM_RUNS))
def test_a_run_killed_at_random_moments_ends_with_identical_values(
    number, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("SIGKILL at a random moment, then resume")
    random = stream("kills", number)
    run = KilledRun(launcher, reference, tmp_path / "work", outcome)
    for _ in range(NUM_RANDOM_KILLS):
        seconds = random.uniform(0.05, 0.9) * reference.seconds
        child = run.begin()
        child.leave_running(seconds)
        child.signal(signal.SIGKILL)
        if not run.was_killed(child.wait(), f"killed after {seconds:.3f} s"):
            break
    run.conclude()
    outcome.check()


@pytest.fixture(scope="module")
def drawn(launcher, reference, tmp_path_factory):
    """A copy of the undisturbed run with figures, and the time to draw the figures."""
    run_dir = tmp_path_factory.mktemp("drawn") / "run"
    shutil.copytree(reference.run_dir, run_dir)
    ended = launcher.run("visualize", "--run_dir", run_dir, cwd=run_dir.parent)
    assert ended.status == 0, ended.err
    return run_dir, ended.seconds


@pytest.mark.parametrize("number", range(NUM_FIGURE_KILLS))
def test_figures_are_complete_if_a_killed_visualize_is_repeated(
    number, launcher, reference, drawn, new_outcome, tmp_path
):
    outcome = new_outcome("SIGKILL while figures are drawn, then visualize")
    undisturbed, duration = drawn
    run_dir = tmp_path / "run"
    shutil.copytree(reference.run_dir, run_dir)
    command = ("visualize", "--run_dir", run_dir)
    child = launcher.start(*command, cwd=tmp_path)
    child.leave_running(stream("figures", number).uniform(0.1, 0.95) * duration)
    outcome.times += child.is_running()
    child.signal(signal.SIGKILL)
    child.wait()
    ended = launcher.run(*command, cwd=tmp_path)
    outcome.expect(ended.status == 0, f"status {ended.status}, {ended.err[-600:]}")
    outcome.endings["drawn to the same images"] += ended.status == 0
    for difference in differences(run_dir, undisturbed):
        outcome.add_lost(difference)
    for path in undisturbed.rglob("*.png"):
        copy = run_dir / path.relative_to(undisturbed)
        if copy.exists() and copy.read_bytes() != path.read_bytes():
            outcome.add_lost(f"{copy}: the image differs")
    outcome.check()
