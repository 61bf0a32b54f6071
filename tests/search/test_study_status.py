"""Count trials without lost trials, and find the best trial."""

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.study.retries import Retry, mark_lost
from pipeline.search.study.study_status import read_status


def test_each_state_is_counted():
    study = optuna.create_study()
    for state in (TrialState.PRUNED, TrialState.FAIL):
        study.tell(study.ask(), state=state)
    assert read_status(study).best is None
    study.tell(study.ask(), 0.5)
    lost = study.ask()
    mark_lost(study, study.get_trials()[lost.number], Retry(max_retries=1))
    running = study.ask()  # the retry
    status = read_status(study)
    assert (status.num_complete, status.num_pruned, status.num_failed) == (1, 1, 1)
    assert (status.num_done, status.num_lost) == (3, 1)
    assert [trial.number for trial in status.running] == [running.number]


@pytest.mark.parametrize(
    ("directions", "values", "best"),
    [
        (["minimize"], [0.5, 0.2, 0.2], 1),
        (["maximize"], [0.5, 0.2, 0.2], 0),
        (["minimize", "minimize"], [(0.2, 900), (0.2, 100), (0.1, 500), (0.1, 400)], 3),
    ],
)
def test_the_best_trial_follows_direction_second_objective_and_number(directions, values, best):
    study = optuna.create_study(directions=directions)
    for each in values:
        study.tell(study.ask(), each)
    assert read_status(study).best.number == best
