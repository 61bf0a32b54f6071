"""Hand out trials, retry those of dead workers, and stop when the study is done."""

import contextlib
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
from pipeline.search.study.study_status import Standing, read_standing
from pipeline.search.worker import TrialSlot
from pipeline.workers.names import is_gone
from pipeline.workers.pool import WorkerEvent, WorkerPool

_TICK_SECONDS = 0.5
_OUTAGE_SECONDS = 600.0
"""How long a storage may be out of reach before the search gives up."""
_NAMELESS_BEATS = 6
"""Heartbeats after which a trial that no worker has put its name to is lost."""
_MOST_FAILURES = 5
"""Trials that may fail at the beginning of a study before it is given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """When a search is done."""

    num_trials: int | None
    """Trials of the study in all, those of earlier calls and of other machines included."""
    timeout_seconds: float | None
    """Time after which no trial is begun."""


@dataclass(kw_only=True)
class Coordinator:
    """Keeps the workers of this machine busy until the study is done.

    Each trial slot goes to one worker, so no trial runs twice and exactly the requested number
    of trials runs. Machines that share a storage count each other's trials.
    """

    study: optuna.Study
    pool: WorkerPool
    limits: Limits
    retry: Retry
    heartbeat_seconds: float
    on_end: Callable[[FrozenTrial], None]
    """Called with each trial that has ended here."""
    on_lost: Callable[[FrozenTrial, bool], None]
    """Called with each trial whose worker died, and whether it is tried again."""
    on_tick: Callable[[Standing], None]
    """Called about twice a second."""
    _deaths: int = field(default=0, init=False)
    _first_failures: list[str] = field(default_factory=list, init=False)
    _next_sweep: float = field(default=0.0, init=False)
    _told: set[int] = field(default_factory=set, init=False)
    _nameless: dict[int, float] = field(default_factory=dict, init=False)
    """When each trial was first seen without a worker's name."""
    _handed_out: set[int] = field(default_factory=set, init=False)
    _outage_began: float | None = field(default=None, init=False)

    def run(self) -> Standing:
        """Run trials until the study is done; however that ends, no trial is left running.

        Raises:
            SearchError: If workers or trials keep failing.
            KeyboardInterrupt: If a person stops the search; what was running is queued again.
        """
        began = time.monotonic()
        self._note_earlier_losses()
        try:
            while True:
                check_interrupt()
                try:
                    final = self._step(is_late=self._is_late(began))
                    self._outage_began = None
                except STORAGE_ERRORS as error:
                    self._wait_for_storage(error)
                else:
                    if final is not None:
                        return final
        except BaseException:
            self._interrupt()
            raise

    def _step(self, *, is_late: bool) -> Standing | None:
        """Hand out trials and handle events; return the final status once the study is done."""
        self._sweep()
        standing = read_standing(self.study)
        self._dispatch(standing, is_late=is_late)
        self.on_tick(standing)
        if not self.pool.num_busy and (is_late or self._is_done(standing)):
            return standing
        for event in self._wait():
            self._handle_event(event)
        return None

    def _wait_for_storage(self, error: Exception) -> None:
        """Wait while the storage is unreachable: its server may be restarting."""
        now = time.monotonic()
        self._outage_began = self._outage_began or now
        if now - self._outage_began > _OUTAGE_SECONDS:
            raise SearchError(
                f"the storage has been out of reach for {_OUTAGE_SECONDS / 60:.0f} minutes "
                f"({str(error).strip().splitlines()[0]}). Give the same command to go on."
            ) from error
        time.sleep(_TICK_SECONDS)

    def _is_late(self, began: float) -> bool:
        timeout = self.limits.timeout_seconds
        return timeout is not None and time.monotonic() - began >= timeout

    def _is_done(self, standing: Standing) -> bool:
        # A trial that still runs elsewhere may yet be lost, and have to be tried again.
        num_trials = self.limits.num_trials
        return num_trials is not None and standing.num_done >= num_trials

    def _dispatch(self, standing: Standing, *, is_late: bool) -> None:
        if is_late:
            return
        while self.pool.num_idle:
            elsewhere = sum(
                not self.pool.owns(trial.user_attrs.get("worker", ""))
                and "worker" in trial.user_attrs
                for trial in standing.running
            )
            promised = standing.num_done + self.pool.num_busy + elsewhere
            if self.limits.num_trials is not None and promised >= self.limits.num_trials:
                return
            # A lost attempt had a number too: the same one again would draw the same proposal.
            number = promised + standing.num_lost
            # A trial that has ended and whose event is not read yet is counted twice above.
            while number in self._handed_out:
                number += 1
            self._handed_out.add(number)
            self.pool.submit(TrialSlot(number=number))

    def _wait(self) -> list[WorkerEvent]:
        if self.pool.num_busy:
            return self.pool.wait(_TICK_SECONDS)
        time.sleep(_TICK_SECONDS)
        return []

    def _handle_event(self, event: WorkerEvent) -> None:
        if event.kind == "setup_failed":
            self._count_death("a worker could not be set up", event.reason)
            return
        if event.task is not None:
            self._handed_out.discard(event.task.number)
        outcome = event.result
        if outcome is None:
            self._handle_dead_worker(event)
        elif outcome.was_reassigned:
            return  # not its fault: its heartbeats were late
        elif outcome.trial is None:
            self._count_death("the storage cannot be used", outcome.reason)
        else:
            trial = self.study.get_trials(deepcopy=False)[outcome.trial]
            self._count_failure(trial)
            self._deaths = 0
            self.on_tick(read_standing(self.study))  # so that the next line counts this trial
            self.on_end(trial)

    def _handle_dead_worker(self, event: WorkerEvent) -> None:
        """Queue the trials of a dead worker again."""
        for trial in self._running_of(event.worker):
            mark_lost(self.study, trial, self.retry)
        self._tell_lost()
        self._count_death(f"the worker {event.worker} died", event.reason)

    def _count_death(self, what: str, reason: str) -> None:
        self._deaths += 1
        # One configuration that kills its worker is given up after its retries. Every other
        # worker may die once besides; that must not end a search that runs unattended.
        num_workers = self.pool.num_idle + self.pool.num_busy
        if self._deaths >= self.retry.max_retries + 2 + num_workers:
            raise SearchError(
                f"{what} ({hide_passwords(reason)}): {self._deaths} times in a row no trial has "
                "come to its end. If the reason is not clear, look at the memory of the machine "
                "and at the storage. Then give the same command to go on."
            )

    def _count_failure(self, trial: FrozenTrial) -> None:
        """Give up a study in which nothing but failures has been seen."""
        if trial.state != TrialState.FAIL:
            self._first_failures = []
        else:
            self._first_failures.append(str(trial.user_attrs.get("reason", "unknown")))
        is_hopeless = len(self._first_failures) >= _MOST_FAILURES
        if is_hopeless and read_standing(self.study).best is None:
            raise SearchError(
                f"the first {len(self._first_failures)} trials failed, the last with: "
                f"{self._first_failures[-1]}. Change the space or the configuration."
            )

    def _sweep(self) -> None:
        """Find the trials that have fallen silent, on this machine or on another."""
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self.heartbeat_seconds
            for trial in self._running():
                if self._is_dead(trial):
                    mark_lost(self.study, trial, self.retry)
            optuna.storages.fail_stale_trials(self.study)
            self._tell_lost()

    def _is_dead(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker", "")
        if worker:
            return is_gone(worker)
        # A worker names itself at once; one that was killed before it did has no heartbeat
        # either, which is what Optuna looks for. The start of the trial is the local time of
        # another machine, so the time is measured here.
        now = time.monotonic()
        first_seen = self._nameless.setdefault(trial.number, now)
        return now - first_seen > _NAMELESS_BEATS * self.heartbeat_seconds

    def _tell_lost(self) -> None:
        """Tell of each lost trial once, whoever has noticed it."""
        trials = self.study.get_trials(deepcopy=False)
        lost = lost_numbers(trials)
        for trial in trials:
            is_silent = trial.state == TrialState.FAIL and "reason" not in trial.user_attrs
            if (trial.number in lost or is_silent) and trial.number not in self._told:
                self._told.add(trial.number)
                self.on_lost(trial, trial.number in lost)

    def _interrupt(self) -> None:
        """End the workers, and queue again what they were doing: no fault has cost it."""
        ours: list[FrozenTrial] = []
        with contextlib.suppress(*STORAGE_ERRORS):
            ours = [
                trial
                for trial in self._running()
                if self.pool.owns(trial.user_attrs.get("worker", ""))
            ]
        self.pool.close()
        # What cannot be told to the storage now is found by the next call, as of dead workers.
        with contextlib.suppress(*STORAGE_ERRORS):
            for trial in ours:
                mark_lost(self.study, trial, requeue)
            self._tell_lost()

    def _note_earlier_losses(self) -> None:
        """Tell of no trial that an earlier call has lost."""
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        self._told.update(trial.number for trial in failed)

    def _running(self) -> list[FrozenTrial]:
        return list(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def _running_of(self, worker: str) -> list[FrozenTrial]:
        return [trial for trial in self._running() if trial.user_attrs.get("worker") == worker]
