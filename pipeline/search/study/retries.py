"""Retry trials of killed workers: mark each trial as failed and queue its parameters again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

_HISTORY = "retry_history"
_ORIGINAL = "failed_trial"
_NUM_RETRIES = "num_retries"
RETRY_OF = "retry_of"
"""User attribute of a retried trial: the number of the lost trial."""
IS_DEFAULT = "is_default"
"""User attribute that marks the trial of the default configuration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Callback that queues a lost trial again. Optuna calls it if heartbeats are missing.

    Optuna's own callback is not used, because it copies the intermediate values of the lost
    trial. With these values, the pruner would count the epochs of this trial twice.
    """

    max_retries: int

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Queue the parameters of `trial` again, at most `max_retries` times."""
        num_retries = trial.system_attrs.get(_NUM_RETRIES, 0)
        if num_retries < self.max_retries:
            requeue(study, trial, num_retries=num_retries + 1)


def requeue(study: optuna.Study, trial: FrozenTrial, *, num_retries: int | None = None) -> None:
    """Queue a new trial with the parameters of a lost trial.

    `num_retries` is the retry count of the new trial; by default the count of the lost trial.
    """
    if num_retries is None:
        num_retries = trial.system_attrs.get(_NUM_RETRIES, 0)
    history = [*_history(trial), trial.number]
    user_attrs = {RETRY_OF: trial.number}
    if IS_DEFAULT in trial.user_attrs:
        user_attrs[IS_DEFAULT] = True
    # The lost trial may not have used all its fixed parameters yet, so they are copied.
    fixed = trial.system_attrs.get("fixed_params")
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=user_attrs,
            system_attrs={
                **({} if fixed is None else {"fixed_params": fixed}),
                _ORIGINAL: history[0],
                _HISTORY: history,
                _NUM_RETRIES: num_retries,
            },
        )
    )


def mark_lost(
    study: optuna.Study, trial: FrozenTrial, retry: Callable[[optuna.Study, FrozenTrial], None]
) -> None:
    """Mark a running trial as failed and retry it immediately."""
    storage = study._storage  # noqa: SLF001 (Optuna ends trials of other processes in this way)
    try:
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)  # noqa: SLF001
    except optuna.exceptions.UpdateFinishedTrialError:
        return  # another process has already ended the trial
    retry(study, trial)


def lost_numbers(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials that were lost and queued again."""
    return {number for trial in trials for number in _history(trial)}


def _history(trial: FrozenTrial) -> list[int]:
    return list(trial.system_attrs.get(_HISTORY, ()))
