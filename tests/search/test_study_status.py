"""Count trials, not attempts; find the best trial."""

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.study.retries import Retry, mark_lost
from pipeline.search.study.study_status import read_status


@pytest.fixture
def study():
    return optuna.create_study()


def test_each_state_is_counted(study):
    study.tell(study.ask(), 0.5)
    study.tell(study.ask(), state=TrialState.PRUNED)
    study.tell(study.ask(), state=TrialState.FAIL)
    running = study.ask()
    status = read_status(study)
    assert (status.num_complete, status.num_pruned, status.num_failed) == (1, 1, 1)
    assert status.num_done == 3
    assert [trial.number for trial in status.running] == [running.number]


def test_a_lost_trial_is_not_a_failed_trial(study):
    study.ask()
    mark_lost(study, study.get_trials()[0], Retry(max_retries=1))
    status = read_status(study)
    assert (status.num_failed, status.num_lost, status.num_done) == (0, 1, 0)


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


def test_a_study_without_a_complete_trial_has_no_best(study):
    study.tell(study.ask(), state=TrialState.FAIL)
    assert read_status(study).best is None
