"""Exactly the requested number of trials runs, whatever dies."""

import os
import platform
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.core.errors import SearchError
from pipeline.search.coordinator import Coordinator, Limits
from pipeline.search.study.retries import Retry
from pipeline.search.worker import TrialOutcome
from pipeline.workers.names import worker_name
from pipeline.workers.pool import WorkerEvent

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")


class ScriptedPool:
    """A pool without processes: each trial slot ends as the script says."""

    def __init__(self, study, script, *, num_workers=1):
        self._study, self._script = study, list(script)
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
        self.slots.append(slot.number)
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
        trial = self._study.ask()
        trial.set_user_attr("worker", "a-1")
        if act == "dies":
            return [WorkerEvent(kind="death", worker="a-1", task=slot, reason="exit code 3")]
        if act == "interrupt":
            raise KeyboardInterrupt
        if act == "fails":
            trial.set_user_attr("reason", "NaN")
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        state = states.get(act, TrialState.FAIL)
        self._study.tell(trial, 0.5 if act == "complete" else None, state=state)
        return self._end(slot, trial=trial.number)

    def _end(self, slot, **outcome):
        result = TrialOutcome(**outcome)
        return [WorkerEvent(kind="result", worker="a-1", task=slot, result=result)]

    def owns(self, worker):
        return worker == "a-1"

    def close(self):
        self.is_closed = True


@pytest.fixture
def study(make_study):
    return make_study()


@pytest.fixture
def make(study):
    def coordinator(*script, num_trials=3, timeout_seconds=None, max_retries=2, num_workers=1):
        return Coordinator(
            study=study,
            pool=ScriptedPool(study, script, num_workers=num_workers),
            limits=Limits(num_trials=num_trials, timeout_seconds=timeout_seconds),
            retry=Retry(max_retries=max_retries),
            heartbeat_seconds=10,
            on_end=lambda trial: None,
            on_lost=lambda trial, is_retried: None,
            on_tick=lambda standing: None,
        )

    return coordinator


def states(study):
    return [trial.state.name for trial in study.get_trials()]


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_as_many_trials_are_run_as_were_asked_for(make, study, num_workers):
    coordinator = make(num_trials=4, num_workers=num_workers)
    assert coordinator.run().num_complete == 4
    assert coordinator.pool.slots == [0, 1, 2, 3]


def test_a_trial_is_told_when_it_is_counted(make):
    coordinator = make("complete", num_trials=2)
    told = []
    coordinator.on_tick = lambda standing: told.append(standing.num_done)
    coordinator.on_end = lambda trial: told.append(f"trial {trial.number}")
    coordinator.run()
    assert told[told.index("trial 0") - 1] == 1
    assert told[told.index("trial 1") - 1] == 2


def test_trials_of_earlier_calls_count(make, study):
    make(num_trials=2).run()
    again = make(num_trials=5)
    again.run()
    assert again.pool.slots == [2, 3, 4]


def test_pruned_and_failed_trials_count(make, study):
    standing = make("pruned", "fails", "complete", num_trials=3).run()
    assert (standing.num_pruned, standing.num_failed, standing.num_complete) == (1, 1, 1)


def test_a_trial_whose_worker_dies_is_run_again_and_does_not_count(make, study):
    lost = []
    coordinator = make("complete", "dies", num_trials=3)
    coordinator.on_lost = lambda trial, is_retried: lost.append((trial.number, is_retried))
    standing = coordinator.run()
    assert (standing.num_complete, standing.num_lost) == (3, 1)
    assert lost == [(1, True)]
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        ("dies", r"the worker a-1 died \(exit code 3\): 5 times in a row no trial"),
        ("setup", r"a worker could not be set up \(no weights\): 5 times in a row no trial"),
        ("no storage", r"the storage cannot be used \(gone\): 5 times in a row no trial"),
    ],
)
def test_workers_that_fail_again_and_again_end_the_search_with_the_reason(make, act, message):
    with pytest.raises(SearchError, match=message):
        make(*[act] * 9).run()


def test_a_configuration_that_kills_its_worker_is_given_up_and_the_search_goes_on(make):
    told = []
    coordinator = make("dies", "dies", "dies", num_trials=3)
    coordinator.on_lost = lambda trial, is_retried: told.append(is_retried)
    standing = coordinator.run()
    assert (standing.num_failed, standing.num_complete) == (1, 2)
    assert told == [True, True, False]


def test_a_trial_that_was_given_to_another_is_no_death(make):
    assert make(*["reassigned"] * 9, num_trials=2).run().num_complete == 2


def test_losses_of_earlier_calls_are_not_told_again(make, study):
    make("dies", num_trials=1).run()
    told = []
    again = make(num_trials=2)
    again.on_lost = lambda trial, is_retried: told.append(trial.number)
    again.run()
    assert told == []


def test_a_storage_that_goes_away_for_a_while_is_waited_for(make, study, monkeypatch):
    coordinator = make(num_trials=3)
    get_trials, refusals = study.get_trials, iter([True, True, False, True])

    def flaky(*arguments, **options):
        if coordinator.pool.slots and next(refusals, False):
            raise optuna.exceptions.StorageInternalError("the server is restarting")
        return get_trials(*arguments, **options)

    monkeypatch.setattr(study, "get_trials", flaky)
    assert coordinator.run().num_complete == 3
    assert next(refusals, None) is None


def test_a_storage_that_stays_away_ends_the_search_and_its_workers(make, study, monkeypatch):
    monkeypatch.setattr("pipeline.search.coordinator._OUTAGE_SECONDS", 0.0)
    coordinator = make()

    def gone(*_, **__):
        raise optuna.exceptions.StorageInternalError("connection refused")

    coordinator.on_tick = lambda standing: monkeypatch.setattr(study, "get_trials", gone)
    with pytest.raises(SearchError, match=r"out of reach for 0 minutes \(connection refused\)"):
        coordinator.run()
    assert coordinator.pool.is_closed


def test_nothing_but_failures_ends_the_search_with_the_reason(make):
    with pytest.raises(SearchError, match="first 5 trials failed, the last with: NaN"):
        make(*["fails"] * 9, num_trials=9).run()


def test_failures_after_a_success_do_not_end_it(make):
    assert make("complete", *["fails"] * 6, num_trials=7).run().num_failed == 6


def test_no_trial_is_begun_after_the_time(make, study):
    coordinator = make(num_trials=None, timeout_seconds=0.0)
    coordinator.run()
    assert coordinator.pool.slots == []


def test_an_interrupt_queues_what_was_running(make, study):
    coordinator = make("complete", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        coordinator.run()
    assert coordinator.pool.is_closed
    assert states(study) == ["COMPLETE", "FAIL", "WAITING"]


def test_a_trial_of_a_dead_process_of_this_machine_is_found_at_once(make, study):
    orphan = study.ask()
    orphan.set_user_attr("worker", worker_name(999_999_999))
    make(num_trials=1).run()
    assert states(study) == ["FAIL", "COMPLETE"]


@pytest.mark.parametrize("process_id", [999_999_999, os.getpid()], ids=["dead", "alive"])
def test_a_trial_in_a_container_of_the_same_host_name_is_lost_only_without_heartbeats(
    make_job, make, process_id, monkeypatch
):
    monkeypatch.setattr("pipeline.search.coordinator._TICK_SECONDS", 0.1)
    storage = make_job(search__heartbeat_seconds=1).open_storage()
    coordinator = make(num_trials=1)
    study = optuna.load_study(study_name="quick", storage=storage)
    there = study.ask()
    there.set_user_attr("worker", f"{platform.node()}-0123abcd-{process_id}")
    storage.record_heartbeat(there._trial_id)
    coordinator.study = coordinator.pool._study = study
    coordinator.heartbeat_seconds = 0.2
    began = time.monotonic()
    while_alive = []

    def beat():
        while time.monotonic() - began < 5:  # longer than the heartbeats may be missing
            storage.record_heartbeat(there._trial_id)
            while_alive.append(study.get_trials()[0].state.name)
            time.sleep(0.3)

    beats = threading.Thread(target=beat)
    beats.start()
    standing = coordinator.run()
    beats.join()
    assert set(while_alive) == {"RUNNING"}
    assert states(study) == ["FAIL", "COMPLETE"]
    assert (standing.num_complete, standing.num_lost) == (1, 1)


def test_a_trial_that_no_worker_has_named_is_found_after_a_while(make, study, monkeypatch):
    study.ask()
    monkeypatch.setattr("pipeline.search.coordinator._NAMELESS_BEATS", -1)
    make(num_trials=1).run()
    assert states(study) == ["FAIL", "COMPLETE"]


def test_a_trial_of_another_machine_is_counted_in(make, study):
    elsewhere = study.ask()
    elsewhere.set_user_attr("worker", "another-machine-7")
    coordinator = make(num_trials=3)

    def end_elsewhere(standing):
        if standing.num_complete == 2 and standing.running:
            study.tell(elsewhere.number, 0.1)

    coordinator.on_tick = end_elsewhere
    assert coordinator.run().num_complete == 3
    assert len(coordinator.pool.slots) == 2
