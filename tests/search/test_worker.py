"""A worker runs one trial per slot; a trial that fails does not end its worker."""

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.worker import TrialSlot, Worker
from pipeline.workers.names import worker_name


@pytest.fixture
def job(make_job):
    return make_job()


@pytest.fixture
def study(job, make_study):
    return make_study(job)


def rate(job):
    return lambda trial: job.space.propose(trial)["model.dropout_rate"]


def test_a_slot_is_one_trial_with_the_name_of_its_worker(job, study):
    outcome = Worker(job, rate(job)).run(TrialSlot(number=0))
    (trial,) = study.get_trials()
    assert outcome.trial == trial.number == 0
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["worker"] == worker_name()


def test_two_searches_with_one_worker_are_identical(make_job, tmp_path):
    values = []
    for name in ("a", "b"):
        job = make_job(storage_url=f"sqlite:///{tmp_path / name}.db")
        study = optuna.create_study(study_name=job.study_name, storage=job.open_storage())
        worker = Worker(job, rate(job))
        for number in range(14):  # more than are drawn at random
            worker.run(TrialSlot(number=number))
        values.append([trial.params for trial in study.get_trials()])
    assert values[0] == values[1]


def test_a_search_that_is_resumed_proposes_what_the_uninterrupted_one_would_have(
    make_job, tmp_path
):
    proposals = []
    for name, pieces in (("whole", [range(14)]), ("resumed", [range(6), range(6, 14)])):
        job = make_job(storage_url=f"sqlite:///{tmp_path / name}.db")
        study = optuna.create_study(study_name=job.study_name, storage=job.open_storage())
        for piece in pieces:
            worker = Worker(job, rate(job))
            for number in piece:
                worker.run(TrialSlot(number=number))
        proposals.append([trial.params for trial in study.get_trials()])
    assert proposals[0] == proposals[1]


def test_a_trial_that_fails_does_not_end_its_worker(job, study):
    def fail(trial):
        raise ValueError("a fault of the trial")

    outcome = Worker(job, fail).run(TrialSlot(number=0))
    assert study.get_trials()[outcome.trial].state == TrialState.FAIL


def test_an_unreachable_storage_is_reported(job, study, monkeypatch):
    worker = Worker(job, rate(job))

    def gone(*_, **__):
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(worker._study, "optimize", gone)
    outcome = worker.run(TrialSlot(number=0))
    assert (outcome.trial, outcome.reason) == (None, "RuntimeError: the database is gone")
