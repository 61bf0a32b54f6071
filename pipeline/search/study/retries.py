"""What becomes of a trial whose worker died: it is lost, and its parameters are tried again."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

_HISTORY = "retry_history"
_ORIGINAL = "failed_trial"
_NUM_RETRIES = "num_retries"
RETRY_OF = "retry_of"
"""Attribute of a trial: the number of the one that it tries again."""
IS_DEFAULT = "is_default"
"""Attribute of the trial of the configuration as it was given."""


class Retry:
    """Queues the parameters of a lost trial again; Optuna calls it when heartbeats stop.

    Optuna's own callback copies all that the pruner noted of the lost trial, which would
    count the epochs of its first attempt to the second.

    Args:
        max_retries: How often the parameters of one trial are tried again.
    """

    def __init__(self, *, max_retries: int) -> None:
        self.max_retries = max_retries

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Queue `trial` again, unless it has been tried too often."""
        num_retries = trial.system_attrs.get(_NUM_RETRIES, 0)
        if num_retries < self.max_retries:
            requeue(study, trial, num_retries=num_retries + 1)


def requeue(study: optuna.Study, trial: FrozenTrial, *, num_retries: int | None = None) -> None:
    """Queue the parameters of a lost trial again, under a number of their own.

    Args:
        study: The study.
        trial: The lost trial.
        num_retries: Faults that have cost attempts at it; as many as before unless given.
    """
    if num_retries is None:
        num_retries = trial.system_attrs.get(_NUM_RETRIES, 0)
    history = [*_history(trial), trial.number]
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**_kept(trial), RETRY_OF: trial.number},
            system_attrs={
                **_enqueued(trial),
                _ORIGINAL: history[0],
                _HISTORY: history,
                _NUM_RETRIES: num_retries,
            },
        )
    )


def mark_lost(
    study: optuna.Study,
    trial: FrozenTrial,
    retry: Callable[[optuna.Study, FrozenTrial], None],
) -> None:
    """End a trial whose worker is known to be dead, without waiting for its heartbeats."""
    storage = study._storage  # noqa: SLF001 (Optuna's own way to end a trial of another process)
    try:
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)  # noqa: SLF001
    except optuna.exceptions.UpdateFinishedTrialError:
        return  # its heartbeat was noticed first
    retry(study, trial)


def lost_numbers(trials: Iterable[FrozenTrial]) -> set[int]:
    """Return the numbers of the trials whose parameters were queued again."""
    return {number for trial in trials for number in _history(trial)}


def _history(trial: FrozenTrial) -> list[int]:
    return list(trial.system_attrs.get(_HISTORY, ()))


def _kept(trial: FrozenTrial) -> dict[str, Any]:
    return {name: value for name, value in trial.user_attrs.items() if name == IS_DEFAULT}


def _enqueued(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return the values that a trial was enqueued with and may not have asked for yet."""
    return {name: value for name, value in trial.system_attrs.items() if name == "fixed_params"}
