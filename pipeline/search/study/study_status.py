"""Status of a study: trial counts, running trials, best trial."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.study.retries import lost_numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyStatus:
    """Trial counts, running trials and the best trial."""

    num_complete: int
    num_pruned: int
    num_failed: int
    """Number of failed trials. Lost trials that were queued again are not counted."""
    num_lost: int
    """Number of lost trials that were queued again."""
    running: tuple[FrozenTrial, ...]
    best: FrozenTrial | None
    """Complete trial with the best value of the first objective."""

    @property
    def num_done(self) -> int:
        """Number of complete, pruned and failed trials."""
        return self.num_complete + self.num_pruned + self.num_failed


def read_status(study: optuna.Study) -> StudyStatus:
    """Read the status of a study from its storage."""
    trials = study.get_trials(deepcopy=False)
    lost = lost_numbers(trials)
    counted = [trial for trial in trials if trial.number not in lost]
    states = [trial.state for trial in counted]
    return StudyStatus(
        num_complete=states.count(TrialState.COMPLETE),
        num_pruned=states.count(TrialState.PRUNED),
        num_failed=states.count(TrialState.FAIL),
        num_lost=len(lost),
        running=tuple(trial for trial in counted if trial.state == TrialState.RUNNING),
        best=best_trial(study, counted),
    )


def best_trial(study: optuna.Study, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the complete trial with the best value of the first objective.

    If several trials have this value, the trial with the smaller second objective is returned, and
    if this is also equal, the trial with the smaller number.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    sign = -1.0 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1.0
    return min(
        complete,
        key=lambda trial: (sign * trial.values[0], trial.values[1:], trial.number),
        default=None,
    )
