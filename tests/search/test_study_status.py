"""Counts are of trials, not of attempts; the best is the earliest of the best."""

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.study.retries import Retry, mark_lost
from pipeline.search.study.study_status import read_standing


@pytest.fixture
def study():
    return optuna.create_study()


def test_every_state_is_counted(study):
    study.tell(study.ask(), 0.5)
    study.tell(study.ask(), state=TrialState.PRUNED)
    study.tell(study.ask(), state=TrialState.FAIL)
    running = study.ask()
    standing = read_standing(study)
    assert (standing.num_complete, standing.num_pruned, standing.num_failed) == (1, 1, 1)
    assert standing.num_done == 3
    assert [trial.number for trial in standing.running] == [running.number]


def test_a_lost_attempt_is_not_a_failure(study):
    study.ask()
    mark_lost(study, study.get_trials()[0], Retry(max_retries=1))
    standing = read_standing(study)
    assert (standing.num_failed, standing.num_lost, standing.num_done) == (0, 1, 0)


@pytest.mark.parametrize(("direction", "expected"), [("minimize", 1), ("maximize", 0)])
def test_the_best_follows_the_direction(direction, expected):
    study = optuna.create_study(direction=direction)
    for value in (0.5, 0.2, 0.2):
        study.tell(study.ask(), value)
    assert read_standing(study).best.number == expected


def test_of_two_that_are_equal_the_cheaper_is_best():
    study = optuna.create_study(directions=["minimize", "minimize"])
    for values in ((0.2, 900), (0.2, 100), (0.1, 500), (0.1, 400)):
        study.tell(study.ask(), values)
    assert read_standing(study).best.number == 3


def test_without_a_complete_trial_there_is_no_best(study):
    study.tell(study.ask(), state=TrialState.FAIL)
    assert read_standing(study).best is None
