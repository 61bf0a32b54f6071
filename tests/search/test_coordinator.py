"""The coordinator runs exactly the requested number of trials, also if workers die."""

import os
import platform
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.core.errors import SearchError
from pipeline.search.coordinator import Coordinator
from pipeline.search.study.retries import Retry
from pipeline.search.study.storage import open_storage
from pipeline.search.worker import TrialOutcome
from pipeline.workers.names import worker_name
from pipeline.workers.pool import WorkerEvent

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")


class ScriptedPool:
    """Pool without processes. The script contains the result of each slot."""

    def __init__(self, study, script, *, num_workers=1):
        self.study, self._script = study, list(script)
        self._num_workers = num_workers
        self._busy = []
        self.slots = []
        self.is_closed = False

    @property
    def num_idle(self):
        return self._num_workers - len(self._busy)

    @property
    def num_busy(self):
        return len(self._busy)

    def submit(self, slot):
        self.slots.append(slot)
        self._busy.append(slot)

    def wait(self, timeout_seconds):
        act = self._script.pop(0) if self._script else "complete"
        if act == "setup":
            return [WorkerEvent(kind="setup_failed", reason="no weights")]
        slot = self._busy.pop(0)
        if act == "no storage":
            return self._end(slot, trial=None, reason="gone")
        if act == "reassigned":
            return self._end(slot, trial=None, reason="x", was_reassigned=True)
        trial = self.study.ask()
        trial.set_user_attr("worker", "a-1")
        if act == "dies":
            return [WorkerEvent(kind="death", worker="a-1", task=slot, reason="exit code 3")]
        if act == "interrupt":
            raise KeyboardInterrupt
        if act == "fails":
            trial.set_user_attr("reason", "NaN")
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        state = states.get(act, TrialState.FAIL)
        self.study.tell(trial, 0.5 if act == "complete" else None, state=state)
        return self._end(slot, trial=trial.number)

    def _end(self, slot, **outcome):
        result = TrialOutcome(**outcome)
        return [WorkerEvent(kind="result", worker="a-1", task=slot, result=result)]

    def owns(self, worker):
        return worker == "a-1"

    def close(self):
        self.is_closed = True


@pytest.fixture
def make(study):
    """Return a function that builds a coordinator with a scripted pool."""

    def coordinator(*script, num_trials=3, timeout_seconds=None, num_workers=1):
        return Coordinator(
            study=study,
            pool=ScriptedPool(study, script, num_workers=num_workers),
            num_trials=num_trials,
            timeout_seconds=timeout_seconds,
            retry=Retry(max_retries=2),
            heartbeat_seconds=10,
            on_end=lambda trial: None,
            on_lost=lambda trial, is_retried: None,
            on_tick=lambda status: None,
        )

    return coordinator


def states(study):
    return [trial.state.name for trial in study.get_trials()]


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_the_requested_number_of_trials_runs(make, num_workers):
    coordinator = make(num_trials=4, num_workers=num_workers)
    assert coordinator.run().num_complete == 4
    assert coordinator.pool.slots == [0, 1, 2, 3]


def test_the_status_includes_an_ended_trial_before_on_end_is_called(make):
    coordinator = make(num_trials=2)
    calls = []
    coordinator.on_tick = lambda status: calls.append(status.num_done)
    coordinator.on_end = lambda trial: calls.append(f"trial {trial.number}")
    coordinator.run()
    assert calls[calls.index("trial 0") - 1] == 1
    assert calls[calls.index("trial 1") - 1] == 2


def test_trials_of_earlier_calls_count(make):
    make(num_trials=2).run()
    again = make(num_trials=5)
    again.run()
    assert again.pool.slots == [2, 3, 4]


def test_a_killed_trial_is_retried_and_does_not_count(make, study):
    lost = []
    coordinator = make("complete", "dies", num_trials=3)
    coordinator.on_lost = lambda trial, is_retried: lost.append((trial.number, is_retried))
    status = coordinator.run()
    assert (status.num_complete, status.num_lost) == (3, 1)
    again = make(num_trials=4)
    again.on_lost = coordinator.on_lost
    again.run()
    assert lost == [(1, True)]  # the second call does not report the trial again
    assert states(study) == ["COMPLETE", "FAIL", *["COMPLETE"] * 3]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("dies", r"worker a-1 died \(exit code 3\): 5 times"),
        ("setup", r"\(no weights\): 5 times"),
        ("no storage", r"storage cannot be used \(gone\): 5 times"),
        ("fails", "first 5 trials failed. Error of the last trial: NaN"),
    ],
)
def test_repeated_failures_end_the_search_with_the_reason(make, act, message):
    with pytest.raises(SearchError, match=message):
        make(*[act] * 9, num_trials=9).run()


def test_failed_trials_do_not_end_a_search_that_has_a_complete_trial(make):
    status = make("complete", "pruned", *["fails"] * 6, num_trials=8).run()
    assert (status.num_complete, status.num_pruned, status.num_failed) == (1, 1, 6)


def test_a_trial_that_always_kills_its_worker_fails_after_its_retries(make):
    retried = []
    coordinator = make("dies", "dies", "dies", num_trials=3)
    coordinator.on_lost = lambda trial, is_retried: retried.append(is_retried)
    status = coordinator.run()
    assert (status.num_failed, status.num_complete) == (1, 2)
    assert retried == [True, True, False]


def test_a_reassigned_trial_is_not_a_death(make):
    assert make(*["reassigned"] * 9, num_trials=2).run().num_complete == 2


def test_the_search_waits_for_an_unreachable_storage(make, study, monkeypatch):
    coordinator = make(num_trials=3)
    get_trials, failures = study.get_trials, iter([True, True, False, True])

    def flaky(*arguments, **options):
        if coordinator.pool.slots and next(failures, False):
            raise optuna.exceptions.StorageInternalError("the server is restarting")
        return get_trials(*arguments, **options)

    monkeypatch.setattr(study, "get_trials", flaky)
    assert coordinator.run().num_complete == 3
    assert next(failures, None) is None


def test_a_long_outage_ends_the_search_and_its_workers(make, study, monkeypatch):
    monkeypatch.setattr("pipeline.search.coordinator._OUTAGE_SECONDS", 0.0)
    coordinator = make()

    def fail(*_, **__):
        raise optuna.exceptions.StorageInternalError("connection refused")

    coordinator.on_tick = lambda status: monkeypatch.setattr(study, "get_trials", fail)
    with pytest.raises(SearchError, match=r"0 minutes \(connection refused\)"):
        coordinator.run()
    assert coordinator.pool.is_closed


def test_no_trial_starts_after_the_time_limit(make):
    coordinator = make(num_trials=None, timeout_seconds=0.0)
    coordinator.run()
    assert coordinator.pool.slots == []


def test_an_interrupt_queues_running_trials_again(make, study):
    coordinator = make("complete", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        coordinator.run()
    assert coordinator.pool.is_closed
    assert states(study) == ["COMPLETE", "FAIL", "WAITING"]


@pytest.mark.parametrize("process_id", [999_999_999, os.getpid()], ids=["dead", "alive"])
def test_a_trial_in_a_container_of_the_same_host_name_is_lost_only_without_heartbeats(
    make_spec, make, process_id, monkeypatch
):
    monkeypatch.setattr("pipeline.search.coordinator._TICK_SECONDS", 0.1)
    storage = open_storage(make_spec(search__heartbeat_seconds=1))
    coordinator = make(num_trials=1)
    study = optuna.load_study(study_name="quick", storage=storage)
    trial = study.ask()
    trial.set_user_attr("worker", f"{platform.node()}-0123abcd-{process_id}")
    storage.record_heartbeat(trial._trial_id)
    coordinator.study = coordinator.pool.study = study
    coordinator.heartbeat_seconds = 0.2
    start = time.monotonic()
    states_with_heartbeats = []

    def send_heartbeats():
        while time.monotonic() - start < 5:  # longer than the grace period of 3 s
            storage.record_heartbeat(trial._trial_id)
            states_with_heartbeats.append(study.get_trials()[0].state.name)
            time.sleep(0.3)

    heartbeats = threading.Thread(target=send_heartbeats)
    heartbeats.start()
    status = coordinator.run()
    heartbeats.join()
    assert set(states_with_heartbeats) == {"RUNNING"}
    assert states(study) == ["FAIL", "COMPLETE"]
    assert (status.num_complete, status.num_lost) == (1, 1)


@pytest.mark.parametrize("worker", [worker_name(999_999_999), None], ids=["dead", "unnamed"])
def test_a_trial_of_a_dead_or_unnamed_worker_is_lost(make, study, monkeypatch, worker):
    trial = study.ask()
    monkeypatch.setattr("pipeline.search.coordinator._UNNAMED_HEARTBEATS", -1)
    if worker is not None:
        trial.set_user_attr("worker", worker)
    make(num_trials=1).run()
    assert states(study) == ["FAIL", "COMPLETE"]


def test_running_trials_of_another_machine_count(make, study):
    elsewhere = study.ask()
    elsewhere.set_user_attr("worker", "another-machine-7")
    coordinator = make(num_trials=3)

    def end_elsewhere(status):
        if status.num_complete == 2 and status.running:
            study.tell(elsewhere.number, 0.1)

    coordinator.on_tick = end_elsewhere
    assert coordinator.run().num_complete == 3
    assert len(coordinator.pool.slots) == 2
