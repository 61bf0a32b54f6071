"""How a study stands: what is done, what is running, what is best."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.study.retries import lost_numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Counts of trials, and the best of them."""

    num_complete: int
    num_pruned: int
    num_failed: int
    """Trials that failed by themselves; those whose worker died are tried again instead."""
    num_lost: int
    """Attempts whose worker died or was interrupted, and that were tried again."""
    running: tuple[FrozenTrial, ...]
    best: FrozenTrial | None
    """With two objectives, the one of the front that is best in the first."""

    @property
    def num_done(self) -> int:
        """Trials that count."""
        return self.num_complete + self.num_pruned + self.num_failed


def read_standing(study: optuna.Study) -> Standing:
    """Read how a study stands from its storage."""
    trials = study.get_trials(deepcopy=False)
    lost = lost_numbers(trials)
    counted = [trial for trial in trials if trial.number not in lost]
    states = [trial.state for trial in counted]
    return Standing(
        num_complete=states.count(TrialState.COMPLETE),
        num_pruned=states.count(TrialState.PRUNED),
        num_failed=states.count(TrialState.FAIL),
        num_lost=len(lost),
        running=tuple(trial for trial in counted if trial.state == TrialState.RUNNING),
        best=best_trial(study, counted),
    )


def best_trial(study: optuna.Study, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the complete trial that is best in the first objective; the earliest of equals."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return None
    sign = -1.0 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0
    # Of two that are equal in the first objective, the second decides: it is always minimised.
    return min(complete, key=lambda trial: (sign * trial.values[0], trial.values[1:], trial.number))
