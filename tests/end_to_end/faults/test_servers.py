"""If a tracking server fails, a run loses no value and no point, and is delayed by seconds only."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Outcome, only_full, sampled, stream
from tests.end_to_end.faults.comparing import compare_with_reference
from tests.end_to_end.faults.launcher import Child, Ended, Launcher
from tests.end_to_end.faults.proxy import Answer, Decide, FaultyProxy, wait_for_port
from tests.end_to_end.faults.reference import Reference
from tests.loopback import free_port

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 300
"""Wait for MLflow that a signal must end."""
LONGEST_END_SECONDS = 60
"""Time limit of the end of a run after a signal, on an idle machine: well below this wait."""
LONGEST_DELAY_SECONDS = 20
"""Maximum delay of a run by an outage. The run waits for 5 s at the start and 10 s at the end."""


class Home:
    """A working directory with an MLflow store, its server, and a proxy in front of the server."""

    def __init__(self, launcher: Launcher, reference: Reference, directory: Path) -> None:
        self.directory = reference.new_directory(directory)
        self._launcher = launcher
        self._reference = reference
        self._port = free_port()
        self._server: Child | None = None
        self.proxy = FaultyProxy(self._port)

    def train(self, has_model: bool = False, *, patience_seconds: float = 10) -> Child:
        """Start the run; packaging the model takes 430 of the 480 calls."""
        return self._launcher.start(
            *self._reference.options(),
            *("--tracking.package_model", str(has_model).lower()),
            *("--tracking.patience_seconds", patience_seconds),
            cwd=self.directory,
            environment={"MLFLOW_TRACKING_URI": self.proxy.uri},
        )

    def start(self) -> None:
        """Start the server."""
        self._server = self._launcher.start(
            self._port, cwd=self.directory, call="tests.end_to_end.faults.store:serve"
        )
        wait_for_port(self._port)

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        assert self._server is not None
        self._server.signal(number)
        if number == signal.SIGKILL:
            self._server.wait()
            self._server = None

    def close(self) -> None:
        """Stop the server and the proxy."""
        self.proxy.close()
        if self._server is not None:
            self._server.kill_all()
            self._server.wait()


@pytest.fixture
def home(launcher, reference, tmp_path) -> Iterator[Home]:
    """A working directory with a running MLflow server."""
    home = Home(launcher, reference, tmp_path / "work")
    home.start()
    yield home
    home.close()


def beginning_with(first: int, answer: Answer) -> Decide:
    """Give this answer to all requests from number `first`."""
    return lambda number, path: answer if number >= first else "forwarded"


def once(part: str, answer: Answer) -> Decide:
    """Give this answer to the first request whose path contains `part`."""
    answered: list[str] = []

    def decide(number: int, path: str) -> Answer:
        if part in path and not answered:
            answered.append(path)
            return answer
        return "forwarded"

    return decide


def randomly(share: float, answers: tuple[Answer, ...], random: random.Random) -> Decide:
    """Give a random answer to a random share of the requests."""
    return lambda number, path: random.choice(answers) if random.random() < share else "forwarded"


ANSWERS: dict[str, Answer] = {
    "answers every call with status 500": "status 500",
    "cuts every connection": "cut",
    "takes every call and loses the reply": "reply lost",
    "does not answer": "no answer",
    "takes 5 s per call": "slow",
}
CASES: list[tuple[str, Decide]] = [
    (f"server {how}", beginning_with(first, answer))
    for how, answer in ANSWERS.items()
    for first in (1, 5, 12)
]
CASES += [
    (f"reply to one call lost ({part})", once(part, "reply lost"))
    for part in (
        *("experiments/create", "runs/create", "runs/log-batch", "runs/log-inputs"),
        *("runs/update", "artifacts", "logged-models"),
    )
]
CASES += [
    (
        "a third of all calls fails in a random way",
        randomly(0.33, ("status 500", "cut", "reply lost"), stream("thirds", number)),
    )
    for number in range(4)
]


NUMBERS = range(len(CASES))
SAMPLE = [number for number in NUMBERS if IS_FULL or "runs/create" in CASES[number][0]]


@pytest.mark.parametrize("number", SAMPLE, ids=lambda number: CASES[number][0])
def test_failing_calls_lose_no_point(number, home, launcher, reference, new_outcome):
    fault, decide = CASES[number]
    outcome = new_outcome(fault)
    home.proxy.decide = decide
    has_model = "artifacts" in fault or "models" in fault
    ended = home.train(has_model).wait()
    outcome.times += home.proxy.num_faults
    home.proxy.heal()
    _check(ended, home, launcher, reference, outcome, has_model=has_model)


@pytest.mark.parametrize(
    ("how", "number", "repeat"),
    sampled(
        [
            (how, number, repeat)
            for how, number in (("killed", signal.SIGKILL), ("hung", signal.SIGSTOP))
            for repeat in range(5)
        ],
        0,
        "servers",
    ),
)
def test_a_server_that_stops_at_a_random_moment_loses_no_point(
    how, number, repeat, home, launcher, reference, new_outcome
):
    outcome = new_outcome(f"server {how} at a random moment, back after the run")
    child = home.train()
    child.leave_running(stream(how, repeat).uniform(0.05, 0.95) * reference.seconds)
    outcome.times += child.is_running()
    home.signal(number)
    ended = child.wait()
    if number == signal.SIGKILL:
        home.start()
    else:
        home.signal(signal.SIGCONT)
    _check(ended, home, launcher, reference, outcome)


@only_full
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_server_that_starts_after_the_run_gets_all_points(
    share, home, launcher, reference, new_outcome
):
    outcome = new_outcome("server up after the run has begun")
    home.signal(signal.SIGKILL)
    child = home.train()
    child.leave_running(share * reference.seconds)
    home.start()
    outcome.times += 1
    _check(child.wait(), home, launcher, reference, outcome)


@only_full
def test_sigterm_ends_the_wait_for_a_hung_server(home, launcher, reference, new_outcome):
    outcome = new_outcome("SIGTERM while the server hangs")
    child = home.train(patience_seconds=PATIENCE_SECONDS)
    child.leave_running(0.5 * reference.seconds)
    home.signal(signal.SIGSTOP)
    was_running = child.leave_running(0.3 * reference.seconds)
    outcome.times += was_running
    child.signal(signal.SIGTERM)
    is_running = child.leave_running(reference.limit(LONGEST_END_SECONDS))
    outcome.expect(not is_running, "the run does not end after SIGTERM")
    ended = child.wait()
    home.signal(signal.SIGCONT)
    # The status is 0 if the run ended before the signal.
    expected = 143 if was_running else 0
    outcome.expect(ended.status == expected, f"status {ended.status}: {ended.err}")
    ended = launcher.run("train", "--resume", "run", cwd=home.directory)
    _check(ended, home, launcher, reference, outcome)


def _check(
    ended: Ended,
    home: Home,
    launcher: Launcher,
    reference: Reference,
    outcome: Outcome,
    *,
    has_model: bool = False,
) -> None:
    """Run `sync`, and compare the run with the undisturbed run."""
    case = outcome.fault
    outcome.expect_status(ended, 0, 3, case=case)
    is_quick = ended.seconds < reference.seconds + reference.limit(LONGEST_DELAY_SECONDS)
    outcome.expect(is_quick, f"{case}: {ended.seconds:.0f} s instead of {reference.seconds:.0f}")
    synced = launcher.run("sync", "--run_dir", "run", cwd=home.directory)
    outcome.expect(synced.status == 0, f"{case}: sync: {synced.err}")
    compare_with_reference(home.directory, reference, outcome, case, has_model=has_model)
    outcome.check()
