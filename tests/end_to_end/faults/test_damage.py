"""A damaged file of a run gives the right values or one clear line, never other values."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Toll, sampled, size, stream
from tests.end_to_end.faults.comparing import differences, file_names
from tests.end_to_end.faults.injection import Boundary
from tests.end_to_end.faults.launcher import Ended, Launcher
from tests.end_to_end.faults.mlflow_database import count_differences, count_points, read_runs
from tests.end_to_end.faults.reference import Reference

pytestmark = pytest.mark.slow

NUM_SHARDS = size(24, 1)
SAMPLE_SIZE = 3
NUM_FLIPS = 2

FINISHED, KILLED = "finished run", "killed run"
COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    FINISHED: {
        "resume": ("train", "--resume", "run"),
        "evaluate": ("evaluate", "--run_dir", "run", "--split", "test"),
        "predict": ("predict", "--run_dir", "run", "--features_dir", "FEATURES"),
        "visualize": ("visualize", "--run_dir", "run"),
        "sync": ("sync", "--run_dir", "run"),
    },
    KILLED: {
        "resume": ("train", "--resume", "run"),
        "sync": ("sync", "--run_dir", "run"),
    },
}
COMMANDS_PER_DAMAGE = 2
"""Each damage of a file of a finished run meets two of the five commands, in turn."""


class Case(NamedTuple):
    """One damaged file, and the command that meets it."""

    state: str
    file: str
    damage: str
    command: str


def damage(path: Path, how: str, case: Case) -> None:
    """Damage a file; the seed of the campaign decides where."""
    random = stream(*case)
    content = bytearray(path.read_bytes())
    if how == "removed":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: random.randrange(1, max(2, len(content)))])
    else:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        path.write_bytes(content)


@dataclass
class Place:
    """A working directory that is put back before each command: its store has its path."""

    launcher: Launcher
    reference: Reference
    directory: Path
    saved: dict[str, Path]
    undamaged: dict[tuple[str, str], tuple[Ended, Path]]

    def run(self, state: str, command: str, spoil: Callable[[Path], None] | None = None) -> Ended:
        """Put the directory back, spoil it, and run a command in it."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.saved[state], self.directory)
        if spoil:
            spoil(self.directory / "run")
        features = str(self.reference.features_dir)
        argv = [features if word == "FEATURES" else word for word in COMMANDS[state][command]]
        return self.launcher.run(*argv, cwd=self.directory)

    def expected(self, state: str, command: str) -> tuple[Ended, Path]:
        """Return how the command ends without damage, and a copy of its working directory."""
        if (state, command) not in self.undamaged:
            ended = self.run(state, command)
            assert ended.status == 0, ended.err
            copy = self.directory.with_name(f"{state} {command}")
            shutil.copytree(self.directory, copy)
            self.undamaged[state, command] = ended, copy
        return self.undamaged[state, command]


@pytest.fixture(scope="module")
def place(launcher, reference, tmp_path_factory) -> Place:
    """A finished run, and one that was killed in its last epoch before all was delivered."""
    home = tmp_path_factory.mktemp("damage")
    directory = home / "work"
    saved = {state: home / state for state in COMMANDS}
    for state, kill_at in (
        (FINISHED, None),
        (KILLED, Boundary("epoch-00002", "mkdir batch_metrics", 1)),
    ):
        reference.workplace(directory)
        plan = {"run_dir": str(directory / "run"), "kill_at": kill_at} if kill_at else None
        ended = launcher.run(
            *reference.options(), "--tracking.package_model", "false", cwd=directory, plan=plan
        )
        assert (ended.status == 0) == (kill_at is None), ended.err
        shutil.move(directory, saved[state])
    return Place(launcher, reference, directory, saved, {})


def cases(place: Place) -> list[Case]:
    """Return every file of a run, damaged in every way, with the commands that meet it."""
    found = []
    turn = 0
    for state, commands in COMMANDS.items():
        names = list(commands)
        for file in sorted(file_names(place.saved[state] / "run")):
            for how in ("removed", "emptied", "cut", *["one bit flipped"] * NUM_FLIPS):
                number = min(len(names), COMMANDS_PER_DAMAGE)
                chosen = [names[(turn + index) % len(names)] for index in range(number)]
                turn += number
                found += [Case(state, file, how, command) for command in chosen]
    return found


@pytest.mark.parametrize("shard", range(NUM_SHARDS))
def test_a_damaged_file_gives_the_right_values_or_one_line_that_names_it(shard, place, toll_of):
    all_cases = cases(place)[shard::NUM_SHARDS]
    tolls: dict[str, Toll] = {}
    for case in sampled(all_cases, SAMPLE_SIZE, "damage"):
        fault = f"file of a {case.state} {case.damage}, then {case.command}"
        toll = tolls.setdefault(fault, toll_of(fault))
        toll.times += 1
        expected, expected_dir = place.expected(case.state, case.command)
        ended = place.run(
            case.state,
            case.command,
            lambda run_dir, case=case: damage(run_dir / case.file, case.damage, case),
        )
        check_case(case, ended, expected, expected_dir, place, toll)
    problems = [problem for toll in tolls.values() for problem in toll.problems]
    assert not problems, "\n".join(problems)


def check_case(
    case: Case, ended: Ended, expected: Ended, expected_dir: Path, place: Place, toll: Toll
) -> None:
    """Check that a command gave the right values, or one line that names the damaged file."""
    told = f"{case.file} {case.damage}, {case.command} of a {case.state}"
    if not toll.expect(not ended.has_traceback, f"{told}: {ended.err[-800:]}"):
        return
    if ended.status != 0:
        name = Path(case.file).name
        line = ended.error_line() or ended.out  # `visualize` lists what it could not draw
        is_clear = ended.status in (2, 3) and name in line
        if toll.expect(is_clear, f"{told}: status {ended.status}, {ended.err[-600:]}"):
            toll.endings["one line that names the file"] += 1
        return
    before = toll.lost + toll.doubled
    if ended.out != expected.out and Path(case.file).name not in ended.err:
        toll.lose(f"{told}: prints other values in silence")
    for difference in differences(place.directory / "run", expected_dir / "run"):
        # A command may leave a file damaged that it does not need. A resumed run needs all but
        # older checkpoints.
        needs_all = (case.state, case.command) == (KILLED, "resume")
        needs_it = needs_all and not case.file.startswith("checkpoints/epoch-")
        if needs_it or not difference.startswith(case.file):
            toll.lose(f"{told}: {difference}")
    check_results(case, told, expected_dir, place, toll)
    toll.endings["same values"] += toll.lost + toll.doubled == before


def check_results(case: Case, told: str, expected_dir: Path, place: Place, toll: Toll) -> None:
    """Check what a command wrote outside of the run directory."""
    if case.command == "predict":
        one, two = (
            path / "results" / "predictions.csv" for path in (place.directory, expected_dir)
        )
        if one.read_bytes() != two.read_bytes():
            toll.lose(f"{told}: other predictions")
    if case.command == "resume":
        count_differences(
            place.directory / "mlflow.db", place.reference.database, toll, told, has_model=False
        )
    elif case.command == "sync":
        count_synced(place.directory, expected_dir, toll, told)


def count_synced(directory: Path, expected_dir: Path, toll: Toll, told: str) -> None:
    """Compare what `sync` has delivered of a damaged run with what it delivers of a whole one."""
    runs, (expected,) = (read_runs(path / "mlflow.db") for path in (directory, expected_dir))
    count_points(runs, expected, toll, told)


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
def test_a_line_of_the_run_log_that_was_changed_is_never_delivered(place, toll_of):
    toll = toll_of("a loss in the run log changed, then resume and sync")

    def change(run_dir: Path) -> None:
        path = run_dir / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        epochs = [number for number, line in enumerate(lines) if '"kind":"epoch"' in line]
        event = json.loads(lines[epochs[1]])
        event["val_loss"] += 0.001
        lines[epochs[1]] = json.dumps(event, separators=(",", ":")) + "\n"
        path.write_text("".join(lines))

    for command in ("resume", "sync"):
        toll.times += 1
        expected, expected_dir = place.expected(KILLED, command)
        ended = place.run(KILLED, command, change)
        case = Case(KILLED, "events.jsonl", "changed", command)
        check_case(case, ended, expected, expected_dir, place, toll)
    toll.check()
