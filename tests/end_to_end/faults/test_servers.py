"""A tracking server that fails in any way costs no value, no point and little time."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Toll, sampled, stream
from tests.end_to_end.faults.comparing import differences
from tests.end_to_end.faults.launcher import Child, Ended, Launcher
from tests.end_to_end.faults.mlflow_database import count_differences
from tests.end_to_end.faults.proxy import Answer, Decide, FaultyProxy, wait_for_port
from tests.end_to_end.faults.reference import Reference
from tests.loopback import free_port

pytestmark = pytest.mark.slow

LONGEST_END_SECONDS = 8
LONGEST_DELAY_SECONDS = 20
"""At the start a run waits for MLflow 5 s at most, at the end 10 s; the rest is the machine's."""
"""What an outage may add to a run on an idle machine; it waits 10 seconds at its end."""


class Home:
    """A working directory, an MLflow server on its store, and the proxy before it."""

    def __init__(self, launcher: Launcher, reference: Reference, directory: Path) -> None:
        self.directory = reference.workplace(directory)
        self._launcher = launcher
        self._reference = reference
        self._port = free_port()
        self._server: Child | None = None
        self.proxy = FaultyProxy(self._port)

    def train(self, has_model: bool = False) -> Child:
        """Start the run; the packaged model is 430 of its 480 calls."""
        return self._launcher.start(
            *self._reference.options(),
            *("--tracking.package_model", str(has_model).lower()),
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
        """Send the server a signal."""
        assert self._server is not None
        self._server.signal(number)
        if number == signal.SIGKILL:
            self._server.wait()
            self._server = None

    def close(self) -> None:
        """Stop server and proxy."""
        self.proxy.close()
        if self._server is not None:
            self._server.kill_all()
            self._server.wait()


@pytest.fixture
def home(launcher, reference, tmp_path) -> Iterator[Home]:
    """A working directory whose MLflow server runs."""
    home = Home(launcher, reference, tmp_path / "work")
    home.start()
    yield home
    home.close()


def from_the(first: int, answer: Answer) -> Decide:
    """Answer the request of a number, and all later ones, in this way."""
    return lambda number, path: answer if number >= first else "passed on"


def once(part: str, answer: Answer) -> Decide:
    """Answer the first request whose path has this part in this way."""
    met: list[str] = []

    def decide(number: int, path: str) -> Answer:
        if part in path and not met:
            met.append(path)
            return answer
        return "passed on"

    return decide


def every(share: float, answers: tuple[Answer, ...], random: random.Random) -> Decide:
    """Answer a share of the requests in one of these ways."""
    return lambda number, path: random.choice(answers) if random.random() < share else "passed on"


ANSWERS: dict[str, Answer] = {
    "answers every call with status 500": "status 500",
    "cuts every connection": "cut",
    "takes every call and loses the reply": "reply lost",
    "does not answer": "no answer",
    "takes 5 s per call": "slow",
}
CASES: list[tuple[str, Decide]] = [
    (f"server {how}", from_the(first, answer))
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
        every(0.33, ("status 500", "cut", "reply lost"), stream("thirds", number)),
    )
    for number in range(4)
]


NUMBERS = range(len(CASES))
SAMPLE = [number for number in NUMBERS if IS_FULL or "runs/create" in CASES[number][0]]


@pytest.mark.parametrize("number", SAMPLE, ids=lambda number: CASES[number][0])
def test_answers_that_fail_cost_no_point(number, home, launcher, reference, toll_of):
    fault, decide = CASES[number]
    toll = toll_of(fault)
    home.proxy.decide = decide
    is_about_models = "artifacts" in fault or "models" in fault
    ended = home.train(is_about_models).wait()
    toll.times += home.proxy.num_faults
    home.proxy.heal()
    _check(ended, home, launcher, reference, toll, has_model=is_about_models)


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
def test_a_server_that_is_gone_at_a_random_moment_costs_no_point(
    how, number, repeat, home, launcher, reference, toll_of
):
    toll = toll_of(f"server {how} at a random moment, back after the run")
    child = home.train()
    child.leave_running(stream(how, repeat).uniform(0.05, 0.95) * reference.seconds)
    toll.times += child.is_running()
    home.signal(number)
    ended = child.wait()
    if number == signal.SIGKILL:
        home.start()
    else:
        home.signal(signal.SIGCONT)
    _check(ended, home, launcher, reference, toll)


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_server_that_starts_after_the_run_is_given_everything(
    share, home, launcher, reference, toll_of
):
    toll = toll_of("server up after the run has begun")
    home.signal(signal.SIGKILL)
    child = home.train()
    child.leave_running(share * reference.seconds)
    home.start()
    toll.times += 1
    _check(child.wait(), home, launcher, reference, toll)


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
def test_sigterm_cuts_the_wait_for_a_hung_server_short(home, launcher, reference, toll_of):
    toll = toll_of("SIGTERM while the server hangs")
    child = home.train()
    child.leave_running(0.5 * reference.seconds)
    home.signal(signal.SIGSTOP)
    was_running = child.leave_running(0.3 * reference.seconds)
    toll.times += was_running
    child.signal(signal.SIGTERM)
    is_running = child.leave_running(reference.limit(LONGEST_END_SECONDS))
    toll.expect(not is_running, "the run does not end after SIGTERM")
    ended = child.wait()
    home.signal(signal.SIGCONT)
    # A run that ended before the signal, on a machine that became faster, has status 0.
    expected = 143 if was_running else 0
    toll.expect(ended.status == expected, f"status {ended.status}: {ended.err}")
    ended = launcher.run("train", "--resume", "run", cwd=home.directory)
    _check(ended, home, launcher, reference, toll)


def _check(
    ended: Ended,
    home: Home,
    launcher: Launcher,
    reference: Reference,
    toll: Toll,
    *,
    has_model: bool = False,
) -> None:
    """Deliver what is left with `sync`, and compare with the undisturbed run."""
    case = toll.fault
    toll.endings[f"status {ended.status}"] += 1
    toll.expect(ended.status in (0, 3), f"{case}: status {ended.status}, {ended.err[-600:]}")
    toll.expect(not ended.has_traceback, f"{case}: {ended.err[-600:]}")
    is_quick = ended.seconds < reference.seconds + reference.limit(LONGEST_DELAY_SECONDS)
    toll.expect(is_quick, f"{case}: {ended.seconds:.0f} s instead of {reference.seconds:.0f}")
    synced = launcher.run("sync", "--run_dir", "run", cwd=home.directory)
    toll.expect(synced.status == 0, f"{case}: sync says {synced.err}")
    for difference in differences(home.directory / "run", reference.run_dir):
        toll.lose(f"{case}: {difference}")
    database = home.directory / "mlflow.db"
    count_differences(database, reference.database, toll, case, has_model=has_model)
    toll.check()
