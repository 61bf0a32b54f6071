"""A job knows its objectives, which way they go, and how many fits a trial has."""

import pickle

import pytest


@pytest.mark.parametrize(
    ("overrides", "objectives", "directions"),
    [
        ({}, ["mae"], ["minimize"]),
        ({"search__metric": "r2"}, ["r2"], ["maximize"]),
        ({"search__second_objective": "weights"}, ["mae", "weights"], ["minimize", "minimize"]),
    ],
)
def test_objectives_go_their_way(make_job, overrides, objectives, directions):
    job = make_job(**overrides)
    assert (job.objectives, job.directions) == (objectives, directions)


def test_a_trial_has_a_fit_a_fold_and_a_seed(make_job):
    assert make_job().num_parts == 1
    assert make_job(search__num_folds=3, search__num_seeds=2).num_parts == 6


def test_a_job_travels_to_another_process(make_job):
    job = make_job()
    assert pickle.loads(pickle.dumps(job)) == job
