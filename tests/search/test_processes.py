"""Real processes on real databases: no trial is lost, none is run twice."""

import functools
import time

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from pipeline.search.coordinator import Coordinator, Limits
from pipeline.search.processes import ProcessPool
from pipeline.search.retries import Retry
from pipeline.search.study import open_study
from pipeline.search.worker import Ticket
from tests.search.quick_worker import start_quick_worker, start_slow_worker

NUM_TRIALS = 20


def coordinate(job, study, pool, num_trials, *, on_tick=lambda standing: None):
    lost = []
    coordinator = Coordinator(
        study=study,
        pool=pool,
        limits=Limits(num_trials=num_trials, timeout_seconds=None),
        retry=Retry(max_retries=2),
        heartbeat_seconds=job.config.search.heartbeat_seconds,
        on_end=lambda trial: None,
        on_lost=lambda trial, is_retried: lost.append(trial),
        on_tick=on_tick,
    )
    standing = coordinator.run()
    pool.close()
    return standing, lost


@pytest.fixture(params=["sqlite", "postgresql"])
def stored_job(request, make_job):
    if request.param == "sqlite":
        yield make_job()
        return
    job = make_job(storage_url=request.getfixturevalue("postgres_url"))
    yield job
    optuna.delete_study(study_name=job.study_name, storage=job.open_storage())


@pytest.mark.slow
def test_four_workers_lose_no_trial_and_run_none_twice(stored_job):
    study = open_study(stored_job, features_digest="1")
    pool = ProcessPool(functools.partial(start_quick_worker, stored_job), num_workers=4)
    standing, lost = coordinate(stored_job, study, pool, NUM_TRIALS)
    trials = study.get_trials()
    ran = (stored_job.study_dir / "ran.txt").read_text().split()
    assert (standing.num_complete, lost) == (NUM_TRIALS, [])
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * NUM_TRIALS
    assert sorted(map(int, ran)) == list(range(NUM_TRIALS))
    assert len({trial.user_attrs["worker"] for trial in trials}) >= 4


@pytest.mark.slow
def test_the_trial_of_a_worker_that_is_killed_is_tried_again(stored_job):
    study = open_study(stored_job, features_digest="1")
    start = functools.partial(start_quick_worker, stored_job, killed_in=3)
    standing, lost = coordinate(stored_job, study, ProcessPool(start, num_workers=2), 8)
    trials = study.get_trials()
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == 3]
    assert [trial.number for trial in lost] == [3]
    assert trials[3].state == TrialState.FAIL
    assert again.params == trials[3].params
    assert again.state == TrialState.COMPLETE
    assert standing.num_complete == 8
    assert len(trials) == 9


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_queues_what_they_did(make_job):
    job = make_job()
    study = open_study(job, features_digest="1")
    pool = ProcessPool(functools.partial(start_slow_worker, job), num_workers=2)

    def stop_when_both_run(standing):
        if len([trial for trial in standing.running if "worker" in trial.user_attrs]) == 2:
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        coordinate(job, study, pool, 4, on_tick=stop_when_both_run)
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.FAIL] * 2 + [TrialState.WAITING] * 2
    assert time.monotonic() - began < 30
    assert not [
        child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())
    ]


@pytest.mark.slow
def test_a_worker_is_replaced_after_its_share_of_trials(make_job, monkeypatch):
    monkeypatch.setattr("pipeline.search.processes.TRIALS_PER_WORKER", 3)
    job = make_job()
    study = open_study(job, features_digest="1")
    pool = ProcessPool(functools.partial(start_quick_worker, job), num_workers=1)
    coordinate(job, study, pool, 7)
    workers = [trial.user_attrs["worker"] for trial in study.get_trials()]
    assert [workers.count(worker) for worker in dict.fromkeys(workers)] == [3, 3, 1]


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_told_as_dead(make_job):
    pool = ProcessPool(functools.partial(start_quick_worker, "no job"), num_workers=1)
    pool.submit(Ticket(number=0))
    news = []
    while not news:
        news = pool.wait(1.0)
    assert news[0].end is None
    assert news[0].ticket == Ticket(number=0)
    pool.close()
