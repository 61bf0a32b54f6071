"""A run that is killed at any moment goes on to the values of the run that was not disturbed."""

import shutil
import signal
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Toll, sampled, size, stream
from tests.end_to_end.faults.comparing import differences
from tests.end_to_end.faults.injection import Boundary
from tests.end_to_end.faults.launcher import Child, Ended, Launcher
from tests.end_to_end.faults.mlflow_database import count_differences
from tests.end_to_end.faults.reference import Reference

pytestmark = pytest.mark.slow

NUM_SHARDS = size(20, 1)
NUM_RANDOM_STORIES, NUM_RANDOM_KILLS = size(17, 1), size(3, 1)
NUM_FIGURE_KILLS = size(10, 0)
KILLS_PER_PHASE = 2
KILLED = -signal.SIGKILL


class Story:
    """A run that is killed several times, resumed each time, and led to its end."""

    def __init__(self, launcher: Launcher, reference: Reference, home: Path, toll: Toll) -> None:
        self._launcher = launcher
        self._reference = reference
        self._home = reference.workplace(home)
        self._toll = toll
        self._attempt = 0
        self._told: list[str] = []

    @property
    def run_dir(self) -> Path:
        return self._home / f"run{self._attempt or ''}"

    @property
    def case(self) -> str:
        return "; ".join(self._told)

    def begin(self, kill_at: Boundary | None = None) -> Child:
        """Start the run, or go on with it, up to a boundary if one is given."""
        if self._can_be_resumed():
            command = ("train", "--resume", self.run_dir)
        else:
            command = self._reference.options(self.run_dir.name)
        plan = {"run_dir": str(self.run_dir), "kill_at": kill_at} if kill_at else None
        return self._launcher.start(*command, cwd=self._home, plan=plan)

    def note(self, ended: Ended, what: str) -> bool:
        """Note how a process ended; return whether it was killed as intended."""
        self._told.append(what)
        if ended.status != KILLED:
            self._check_end(self._delivered(ended))
            return False
        self._toll.times += 1
        return True

    def conclude(self) -> None:
        """Lead the run to its end, and compare it with the undisturbed run."""
        ended = self._delivered(self.begin().wait())
        self._check_end(ended)
        if ended.status != 0:
            return
        self._toll.endings["resumed to the same values"] += 1
        for difference in differences(self.run_dir, self._reference.run_dir):
            self._toll.lose(f"{self.case}: {difference}")
        count_differences(self._home / "mlflow.db", self._reference.database, self._toll, self.case)

    def _delivered(self, ended: Ended) -> Ended:
        return self._launcher.delivered(ended, self.run_dir, cwd=self._home)

    def _check_end(self, ended: Ended) -> None:
        is_well = ended.status == 0 and not ended.err
        self._toll.expect(is_well, f"{self.case}: status {ended.status}, {ended.err[-600:]}")

    def _can_be_resumed(self) -> bool:
        """Try to resume; a run that was killed before it began is refused, and begins anew."""
        if not self.run_dir.exists() or (self.run_dir / "config.yaml").exists():
            return self.run_dir.exists()
        ended = self._launcher.run("train", "--resume", self.run_dir, cwd=self._home)
        if ended.status == 0:
            return True
        names_it = ended.status == 2 and str(self.run_dir) in ended.error_line()
        self._toll.expect(names_it, f"{self.case}: resume says {ended.err}")
        self._attempt += 1
        return False


def chosen(boundaries: list[Boundary]) -> list[Boundary]:
    """Return the boundaries that leave different files behind.

    A file is written under another name, synced and renamed: a kill leaves nothing, an empty
    file or a whole file. A line of the run log is absent, torn or whole.
    """
    seen: set[str] = set()
    kept = []
    for boundary in boundaries:
        what, _, name = boundary.name.partition(" ")
        is_temporary = name.rpartition("/")[2].startswith(".")
        is_wanted = (
            what in ("rename", "torn", "mlflow", "rmdir")
            or (what == "fsync" and name.endswith(".jsonl"))
            or (what == "open" and is_temporary and boundary.count % 3 == 2)
            or (what == "open" and not is_temporary)
            or (what == "remove" and not is_temporary)
            or (what == "mkdir" and boundary.count == 1)
        )
        # The middle epochs repeat each other.
        is_new = boundary.phase != "epoch-00002" or boundary.name not in seen
        if is_wanted and is_new and "lock" not in name:
            kept.append(boundary)
        seen.add(boundary.name)
    return kept


def stories(boundaries: list[Boundary]) -> list[list[Boundary]]:
    """Return lists of boundaries, each in the order in which one run can meet them."""
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
def test_a_run_killed_at_every_boundary_ends_with_the_same_values(
    shard, launcher, reference, toll_of, tmp_path
):
    toll = toll_of("SIGKILL at a boundary, then resume")
    missed: list[Boundary] = []
    lists = stories(chosen(reference.boundaries))[shard::NUM_SHARDS]
    for number, whole in enumerate(sampled(lists, 1, "boundaries")):
        story = Story(launcher, reference, tmp_path / str(number), toll)
        targets = sorted(sampled(whole, 3, "targets"), key=whole.index)
        for index, target in enumerate(targets):
            if not story.note(story.begin(target).wait(), f"killed at {target}"):
                # The run has ended: what comes later is met in a run of its own.
                missed += targets[index:]
                break
        story.conclude()
    for number, target in enumerate(missed if IS_FULL else []):
        story = Story(launcher, reference, tmp_path / f"again-{number}", toll)
        story.note(story.begin(target).wait(), f"killed at {target}")
        story.conclude()
    toll.check()


@pytest.mark.parametrize("number", range(NUM_RANDOM_STORIES))
def test_a_run_killed_at_random_moments_ends_with_the_same_values(
    number, launcher, reference, toll_of, tmp_path
):
    toll = toll_of("SIGKILL at a random moment, then resume")
    random = stream("kills", number)
    story = Story(launcher, reference, tmp_path / "story", toll)
    for _ in range(NUM_RANDOM_KILLS):
        seconds = random.uniform(0.05, 0.9) * reference.seconds
        child = story.begin()
        child.leave_running(seconds)
        child.signal(signal.SIGKILL)
        if not story.note(child.wait(), f"killed after {seconds:.3f} s"):
            break
    story.conclude()
    toll.check()


@pytest.fixture(scope="module")
def drawn(launcher, reference, tmp_path_factory):
    """The undisturbed run with its figures, and how long it took to draw them."""
    run_dir = tmp_path_factory.mktemp("drawn") / "run"
    shutil.copytree(reference.run_dir, run_dir)
    ended = launcher.run("visualize", "--run_dir", run_dir, cwd=run_dir.parent)
    assert ended.status == 0, ended.err
    return run_dir, ended.seconds


@pytest.mark.parametrize("number", range(NUM_FIGURE_KILLS))
def test_figures_killed_while_they_are_drawn_are_whole_after_the_next_visualize(
    number, launcher, reference, drawn, toll_of, tmp_path
):
    toll = toll_of("SIGKILL while figures are drawn, then visualize")
    undisturbed, duration = drawn
    run_dir = tmp_path / "run"
    shutil.copytree(reference.run_dir, run_dir)
    command = ("visualize", "--run_dir", run_dir)
    child = launcher.start(*command, cwd=tmp_path)
    child.leave_running(stream("figures", number).uniform(0.1, 0.95) * duration)
    toll.times += child.is_running()
    child.signal(signal.SIGKILL)
    child.wait()
    ended = launcher.run(*command, cwd=tmp_path)
    toll.expect(ended.status == 0, f"status {ended.status}, {ended.err[-600:]}")
    toll.endings["drawn to the same images"] += ended.status == 0
    for difference in differences(run_dir, undisturbed):
        toll.lose(difference)
    for path in undisturbed.rglob("*.png"):
        copy = run_dir / path.relative_to(undisturbed)
        if copy.exists() and copy.read_bytes() != path.read_bytes():
            toll.lose(f"{copy}: is another image")
    toll.check()
