"""A lost trial is tried again with its parameters, and only so often."""

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from pipeline.search.study.retries import (
    IS_DEFAULT,
    RETRY_OF,
    Retry,
    lost_numbers,
    mark_lost,
    requeue,
)

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")


@pytest.fixture
def study(make_study):
    return make_study()


def ask(study):
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.report(0.5, 1)
    trial.set_user_attr("worker", "here-1")
    return study.get_trials()[trial.number]


def test_the_parameters_are_queued_again_without_what_the_first_attempt_noted(study):
    lost = ask(study)
    mark_lost(study, lost, Retry(max_retries=2))
    first, again = study.get_trials()
    assert (first.state, again.state) == (TrialState.FAIL, TrialState.WAITING)
    assert again.params == lost.params
    assert again.intermediate_values == {}
    assert again.user_attrs == {RETRY_OF: 0}


def test_a_trial_is_given_up_after_its_retries(study):
    retry = Retry(max_retries=2)
    lost = ask(study)
    for _ in range(3):
        mark_lost(study, lost, retry)
        waiting = [trial for trial in study.get_trials() if trial.state == TrialState.WAITING]
        lost = study.get_trials()[study.ask().number] if waiting else None
    assert lost is None
    assert lost_numbers(study.get_trials()) == {0, 1}
    assert len(study.get_trials()) == 3


def test_a_trial_that_has_ended_meanwhile_is_left_alone(study):
    running = ask(study)
    study.tell(running.number, 0.1)
    mark_lost(study, running, Retry(max_retries=2))
    (trial,) = study.get_trials()
    assert trial.state == TrialState.COMPLETE


def test_the_default_stays_the_default_when_it_is_tried_again(study):
    study.enqueue_trial({"x": 0.25}, user_attrs={IS_DEFAULT: True})
    trial = study.ask()  # dies before it has asked for a value
    mark_lost(study, study.get_trials()[trial.number], Retry(max_retries=2))
    again = study.ask()
    assert again.user_attrs[IS_DEFAULT] is True
    assert again.suggest_float("x", 0.0, 1.0) == 0.25


def test_an_interrupt_is_no_retry(study):
    lost = ask(study)
    for retry in (requeue, requeue, Retry(max_retries=1), requeue):
        mark_lost(study, lost, retry)
        lost = study.get_trials()[study.ask().number]
    mark_lost(study, lost, Retry(max_retries=1))
    assert lost_numbers(study.get_trials()) == {0, 1, 2, 3}
    assert [trial.state for trial in study.get_trials()] == [TrialState.FAIL] * 5


def test_a_silent_trial_is_queued_again_by_optuna(make_job):
    job = make_job(search__heartbeat_seconds=1)
    storage = job.open_storage()
    study = optuna.create_study(study_name="silent", storage=storage)
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    storage.record_heartbeat(trial._trial_id)
    _age_heartbeats(storage, seconds=60)
    optuna.storages.fail_stale_trials(study)
    assert [each.state for each in study.get_trials()] == [TrialState.FAIL, TrialState.WAITING]


def _age_heartbeats(storage, *, seconds):
    with storage.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                f"UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-{seconds} seconds')"
            )
        )
