"""Assign trials to workers, retry trials of killed workers, and stop when the study is done."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.errors import SearchError
from pipeline.core.interrupts import check_interrupt
from pipeline.core.urls import hide_passwords
from pipeline.search.study.retries import Retry, lost_numbers, mark_lost, requeue
from pipeline.search.study.storage import STORAGE_ERRORS
from pipeline.search.study.study_status import StudyStatus, read_status
from pipeline.workers.names import has_ended
from pipeline.workers.pool import WorkerEvent, WorkerPool

_TICK_SECONDS = 0.5
_OUTAGE_SECONDS = 600.0
"""Maximum time that the search waits for an unreachable storage."""
_UNNAMED_HEARTBEATS = 6
"""Number of heartbeat intervals after which a running trial without worker name counts as lost."""
_MAX_FIRST_FAILURES = 5
"""If no trial is complete, the search stops after this number of failed trials."""


@dataclass(kw_only=True)
class Coordinator:
    """Assign trials to the workers of this machine.

    Each trial has a slot number, and each slot number is used once. Therefore exactly the requested
    number of trials runs. This number includes trials of other machines with the same storage.
    """

    study: optuna.Study
    pool: WorkerPool
    num_trials: int | None
    """Requested number of trials, over all calls and machines; None for no limit."""
    timeout_seconds: float | None
    """Time after which no new trial starts; None for no limit."""
    retry: Retry
    heartbeat_seconds: float
    on_end: Callable[[FrozenTrial], None]
    """Function that is called with each trial that ended on this machine."""
    on_lost: Callable[[FrozenTrial, bool], None]
    """Function that is called for each lost trial. Its second argument is True for a retry."""
    on_tick: Callable[[StudyStatus], None]
    """Function that is called with the study status about twice per second."""
    _num_deaths: int = field(default=0, init=False)
    """Number of worker failures since a trial last ended."""
    _first_failures: list[str] = field(default_factory=list, init=False)
    _next_sweep: float = field(default=0.0, init=False)
    _reported: set[int] = field(default_factory=set, init=False)
    """Numbers of failed trials for which `on_lost` is not called again."""
    _first_seen: dict[int, float] = field(default_factory=dict, init=False)
    """Number of a trial without worker name -> time when this process first found the trial."""
    _assigned: set[int] = field(default_factory=set, init=False)
    _outage_start: float | None = field(default=None, init=False)

    def run(self) -> StudyStatus:
        """Run trials until the study is done. At the end, no trial is running on this machine.

        Raises:
            SearchError: If workers or trials fail repeatedly.
            KeyboardInterrupt: If the user stops the search. Running trials are queued again.
        """
        start = time.monotonic()
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        self._reported.update(trial.number for trial in failed)
        try:
            while True:
                check_interrupt()
                try:
                    final = self._step(start)
                    self._outage_start = None
                except STORAGE_ERRORS as error:
                    self._wait_for_storage(error)
                else:
                    if final is not None:
                        return final
        except BaseException:
            self._interrupt()
            raise

    def _step(self, start: float) -> StudyStatus | None:
        """Assign slot numbers and handle events. If the study is done, return its final status."""
        self._sweep()
        status = read_status(self.study)
        timeout = math.inf if self.timeout_seconds is None else self.timeout_seconds
        is_late = time.monotonic() - start >= timeout
        if not is_late:
            self._assign_slots(status)
        self.on_tick(status)
        # A running trial of another machine is not counted as done, because it may need a retry.
        is_done = self.num_trials is not None and status.num_done >= self.num_trials
        if self.pool.num_busy:
            for event in self.pool.wait(_TICK_SECONDS):
                self._handle_event(event)
        elif is_late or is_done:
            return status
        else:
            time.sleep(_TICK_SECONDS)
        return None

    def _wait_for_storage(self, error: Exception) -> None:
        """Wait briefly if the storage is unreachable, for instance while its server restarts."""
        now = time.monotonic()
        self._outage_start = self._outage_start or now
        if now - self._outage_start > _OUTAGE_SECONDS:
            raise SearchError(
                f"the storage has been unreachable for {_OUTAGE_SECONDS / 60:.0f} minutes "
                f"({str(error).strip().splitlines()[0]}). Give the same command to continue."
            ) from error
        time.sleep(_TICK_SECONDS)

    def _assign_slots(self, status: StudyStatus) -> None:
        elsewhere = sum(
            "worker" in trial.user_attrs and not self.pool.owns(trial.user_attrs["worker"])
            for trial in status.running
        )
        while self.pool.num_idle:
            expected = status.num_done + self.pool.num_busy + elsewhere
            if self.num_trials is not None and expected >= self.num_trials:
                return
            # The same slot number gives the same proposal, so numbers of lost trials are skipped.
            number = expected + status.num_lost
            # If a trial has ended but its event is not handled yet, `expected` counts it twice.
            while number in self._assigned:
                number += 1
            self._assigned.add(number)
            self.pool.submit(number)

    def _handle_event(self, event: WorkerEvent) -> None:
        if event.kind == "setup_failed":
            self._count_death("a worker could not be set up", event.reason)
            return
        if event.task is not None:
            self._assigned.discard(event.task)
        outcome = event.result
        if outcome is None:
            for trial in self._running():
                if trial.user_attrs.get("worker") == event.worker:
                    mark_lost(self.study, trial, self.retry)
            self._report_lost()
            self._count_death(f"the worker {event.worker} died", event.reason)
        elif outcome.was_reassigned:
            return  # the heartbeats were late, but the worker did not fail
        elif outcome.trial is None:
            self._count_death("the storage cannot be used", outcome.reason)
        else:
            trial = self.study.get_trials(deepcopy=False)[outcome.trial]
            self._count_failure(trial)
            self._num_deaths = 0
            self.on_tick(read_status(self.study))  # `on_end` then shows the new counts
            self.on_end(trial)

    def _count_death(self, failure: str, reason: str) -> None:
        self._num_deaths += 1
        # A configuration that crashes its workers uses all retries of one trial. In addition, each
        # worker may crash once before the search stops.
        num_workers = self.pool.num_idle + self.pool.num_busy
        if self._num_deaths >= self.retry.max_retries + 2 + num_workers:
            raise SearchError(
                f"{failure} ({hide_passwords(reason)}): {self._num_deaths} times in a row. Check "
                "the memory and the disk of the machine, then give the same command to continue."
            )

    def _count_failure(self, trial: FrozenTrial) -> None:
        """Stop the search if the first `_MAX_FIRST_FAILURES` trials failed."""
        if trial.state != TrialState.FAIL:
            self._first_failures = []
        else:
            self._first_failures.append(str(trial.user_attrs.get("reason", "unknown")))
        is_hopeless = len(self._first_failures) >= _MAX_FIRST_FAILURES
        if is_hopeless and read_status(self.study).best is None:
            raise SearchError(
                f"the first {len(self._first_failures)} trials failed. Error of the last trial: "
                f"{self._first_failures[-1]}. Change the search space or the configuration."
            )

    def _sweep(self) -> None:
        """Find lost trials of all machines, once per heartbeat interval."""
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self.heartbeat_seconds
            for trial in self._running():
                if self._is_lost(trial):
                    mark_lost(self.study, trial, self.retry)
            optuna.storages.fail_stale_trials(self.study)
            self._report_lost()

    def _is_lost(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker", "")
        if worker:
            return has_ended(worker)
        # A trial without a worker name has no heartbeats, so Optuna never ends it. The clocks of
        # the machines differ, so this process measures the time.
        now = time.monotonic()
        first_seen = self._first_seen.setdefault(trial.number, now)
        return now - first_seen > _UNNAMED_HEARTBEATS * self.heartbeat_seconds

    def _report_lost(self) -> None:
        """Call `on_lost` once for each lost trial, also for trials of other machines."""
        trials = self.study.get_trials(deepcopy=False)
        lost = lost_numbers(trials)
        for trial in trials:
            is_unexplained = trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
            if (trial.number in lost or is_unexplained) and trial.number not in self._reported:
                self._reported.add(trial.number)
                self.on_lost(trial, trial.number in lost)

    def _interrupt(self) -> None:
        """End the workers and queue their trials again, without a change of the retry counts."""
        running: list[FrozenTrial] = []
        # If the storage is unreachable now, the next call detects the lost trials.
        with contextlib.suppress(*STORAGE_ERRORS):
            running = self._running()
        self.pool.close()
        with contextlib.suppress(*STORAGE_ERRORS):
            for trial in running:
                if self.pool.owns(trial.user_attrs.get("worker", "")):
                    mark_lost(self.study, trial, requeue)
            self._report_lost()

    def _running(self) -> list[FrozenTrial]:
        return list(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
