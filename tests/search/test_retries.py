"""A lost trial is retried with the same parameters, a limited number of times."""

import pytest
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


def start_trial(study):
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    trial.report(0.5, 1)
    trial.set_user_attr("worker", "here-1")
    return study.get_trials()[trial.number]


def test_a_retry_keeps_the_parameters_but_not_the_values_of_the_lost_trial(study):
    lost = start_trial(study)
    mark_lost(study, lost, Retry(max_retries=2))
    first, again = study.get_trials()
    assert (first.state, again.state) == (TrialState.FAIL, TrialState.WAITING)
    assert again.params == lost.params
    assert again.intermediate_values == {}
    assert again.user_attrs == {RETRY_OF: 0}


@pytest.mark.parametrize(
    "attempts",
    [[Retry(max_retries=2)] * 3, [requeue, requeue, *[Retry(max_retries=1)] * 2]],
    ids=["deaths", "interrupts do not count"],
)
def test_retries_are_limited(study, attempts):
    trial = start_trial(study)
    for attempt in attempts[:-1]:
        mark_lost(study, trial, attempt)
        trial = study.get_trials()[study.ask().number]
    mark_lost(study, trial, attempts[-1])
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.FAIL] * len(attempts)
    assert lost_numbers(study.get_trials()) == set(range(len(attempts) - 1))


def test_an_ended_trial_is_not_lost(study):
    running = start_trial(study)
    study.tell(running.number, 0.1)
    mark_lost(study, running, Retry(max_retries=2))
    (trial,) = study.get_trials()
    assert trial.state == TrialState.COMPLETE


def test_a_retry_of_the_default_configuration_is_the_default(study):
    study.enqueue_trial({"x": 0.25}, user_attrs={IS_DEFAULT: True})
    trial = study.ask()  # the worker dies before a parameter is sampled
    mark_lost(study, study.get_trials()[trial.number], Retry(max_retries=2))
    again = study.ask()
    assert again.user_attrs[IS_DEFAULT] is True
    assert again.suggest_float("x", 0.0, 1.0) == 0.25
