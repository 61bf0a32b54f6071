"""A worker runs one trial a ticket; what goes wrong in it stays in it."""

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.worker import Ticket, Worker, worker_name


@pytest.fixture
def job(make_job):
    return make_job()


@pytest.fixture
def study(job, make_study):
    return make_study(job)


def rate(job):
    return lambda trial: job.space.propose(trial)["model.dropout_rate"]


def test_a_ticket_is_one_trial_with_the_name_of_its_worker(job, study):
    end = Worker(job, rate(job)).run(Ticket(number=0))
    (trial,) = study.get_trials()
    assert end.trial == trial.number == 0
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["worker"] == worker_name()


def test_two_searches_with_one_worker_are_identical(make_job, tmp_path):
    values = []
    for name in ("a", "b"):
        job = make_job(storage_url=f"sqlite:///{tmp_path / name}.db")
        study = optuna.create_study(study_name=job.study_name, storage=job.open_storage())
        worker = Worker(job, rate(job))
        for number in range(14):  # more than are drawn at random
            worker.run(Ticket(number=number))
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
                worker.run(Ticket(number=number))
        proposals.append([trial.params for trial in study.get_trials()])
    assert proposals[0] == proposals[1]


def test_a_trial_that_fails_does_not_end_its_worker(job, study):
    def fail(trial):
        raise ValueError("a fault of the trial")

    end = Worker(job, fail).run(Ticket(number=0))
    assert study.get_trials()[end.trial].state == TrialState.FAIL


def test_a_storage_that_is_gone_is_told(job, study, monkeypatch):
    worker = Worker(job, rate(job))

    def gone(*_, **__):
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(worker._study, "optimize", gone)
    end = worker.run(Ticket(number=0))
    assert (end.trial, end.reason) == (None, "RuntimeError: the database is gone")
