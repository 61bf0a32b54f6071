"""If a file of a run is damaged, a command gives correct values or one line that names the file."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.faults.campaign import Outcome, only_full, sampled, size, stream
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
"""Number of commands per damaged file; the commands take turns."""


class Case(NamedTuple):
    """One damaged file, and the command to run."""

    state: str
    file: str
    damage: str
    command: str


def damage(path: Path, how: str, case: Case) -> None:
    """Damage a file at a random position."""
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
    """A working directory that is restored before each command. MLflow stores its path."""

    launcher: Launcher
    reference: Reference
    directory: Path
    saved: dict[str, Path]
    undamaged: dict[tuple[str, str], tuple[Ended, Path]]

    def run(self, state: str, command: str, apply: Callable[[Path], None] | None = None) -> Ended:
        """Restore the directory, apply the damage to the run, and run a command."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.saved[state], self.directory)
        if apply:
            apply(self.directory / "run")
        features = str(self.reference.features_dir)
        argv = [features if word == "FEATURES" else word for word in COMMANDS[state][command]]
        return self.launcher.run(*argv, cwd=self.directory)

    def expected(self, state: str, command: str) -> tuple[Ended, Path]:
        """Return the result and the working directory of the command without damage."""
        if (state, command) not in self.undamaged:
            ended = self.run(state, command)
            assert ended.status == 0, ended.err
            copy = self.directory.with_name(f"{state} {command}")
            shutil.copytree(self.directory, copy)
            self.undamaged[state, command] = ended, copy
        return self.undamaged[state, command]


@pytest.fixture(scope="module")
def place(launcher, reference, tmp_path_factory) -> Place:
    """A finished run, and a run that was killed in its last epoch before MLflow had all data."""
    home = tmp_path_factory.mktemp("damage")
    directory = home / "work"
    saved = {state: home / state for state in COMMANDS}
    for state, kill_at in (
        (FINISHED, None),
        (KILLED, Boundary("epoch-00002", "mkdir batch_metrics", 1)),
    ):
        reference.new_directory(directory)
        plan = {"run_dir": str(directory / "run"), "kill_at": kill_at} if kill_at else None
        ended = launcher.run(
            *reference.options(), "--tracking.package_model", "false", cwd=directory, plan=plan
        )
        assert (ended.status == 0) == (kill_at is None), ended.err
        shutil.move(directory, saved[state])
    return Place(launcher, reference, directory, saved, {})


def cases(place: Place) -> list[Case]:
    """Return a case per file, kind of damage and command."""
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
def test_a_damaged_file_gives_correct_values_or_one_line_that_names_it(shard, place, new_outcome):
    all_cases = cases(place)[shard::NUM_SHARDS]
    outcomes: dict[str, Outcome] = {}
    for case in sampled(all_cases, SAMPLE_SIZE, "damage"):
        fault = f"file of a {case.state} {case.damage}, then {case.command}"
        outcome = outcomes.setdefault(fault, new_outcome(fault))
        outcome.times += 1
        expected, expected_dir = place.expected(case.state, case.command)
        ended = place.run(
            case.state,
            case.command,
            lambda run_dir, case=case: damage(run_dir / case.file, case.damage, case),
        )
        check_case(case, ended, expected, expected_dir, place, outcome)
    problems = [problem for outcome in outcomes.values() for problem in outcome.problems]
    assert not problems, "\n".join(problems)


def check_case(
    case: Case, ended: Ended, expected: Ended, expected_dir: Path, place: Place, outcome: Outcome
) -> None:
    """Check that a command gave correct values, or one line that names the damaged file."""
    title = f"{case.file} {case.damage}, {case.command} of a {case.state}"
    if not outcome.expect(not ended.has_traceback, f"{title}: {ended.err[-800:]}"):
        return
    if ended.status != 0:
        name = Path(case.file).name
        line = ended.error_line() or ended.out  # `visualize` prints the missing figures
        is_clear = ended.status in (2, 3) and name in line
        if outcome.expect(is_clear, f"{title}: status {ended.status}, {ended.err[-600:]}"):
            outcome.endings["one line that names the file"] += 1
        return
    before = outcome.lost + outcome.doubled
    if ended.out != expected.out and Path(case.file).name not in ended.err:
        outcome.add_lost(f"{title}: prints other values without a warning")
    for difference in differences(place.directory / "run", expected_dir / "run"):
        # A command need not repair a file that it does not use. A resumed run uses all files
        # except older checkpoints.
        needs_all = (case.state, case.command) == (KILLED, "resume")
        is_needed = needs_all and not case.file.startswith("checkpoints/epoch-")
        if is_needed or not difference.startswith(case.file):
            outcome.add_lost(f"{title}: {difference}")
    check_results(case, title, expected_dir, place, outcome)
    outcome.endings["same values"] += outcome.lost + outcome.doubled == before


def check_results(
    case: Case, title: str, expected_dir: Path, place: Place, outcome: Outcome
) -> None:
    """Check the outputs outside the run directory."""
    if case.command == "predict":
        one, two = (
            path / "results" / "predictions.csv" for path in (place.directory, expected_dir)
        )
        if one.read_bytes() != two.read_bytes():
            outcome.add_lost(f"{title}: other predictions")
    if case.command == "resume":
        count_differences(
            place.directory / "mlflow.db", place.reference.database, outcome, title, has_model=False
        )
    elif case.command == "sync":
        runs, (expected,) = (
            read_runs(path / "mlflow.db") for path in (place.directory, expected_dir)
        )
        count_points(runs, expected, outcome, title)


@only_full
def test_a_changed_line_of_the_run_log_is_not_delivered(place, new_outcome):
    outcome = new_outcome("a loss in the run log changed, then resume and sync")

    def change(run_dir: Path) -> None:
        path = run_dir / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        epochs = [number for number, line in enumerate(lines) if '"kind":"epoch"' in line]
        event = json.loads(lines[epochs[1]])
        event["val_loss"] += 0.001
        lines[epochs[1]] = json.dumps(event, separators=(",", ":")) + "\n"
        path.write_text("".join(lines))

    for command in ("resume", "sync"):
        outcome.times += 1
        expected, expected_dir = place.expected(KILLED, command)
        ended = place.run(KILLED, command, change)
        case = Case(KILLED, "events.jsonl", "changed", command)
        check_case(case, ended, expected, expected_dir, place, outcome)
    outcome.check()
