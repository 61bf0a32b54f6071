"""Real workers on real databases: no trial is lost, and none runs twice."""

import contextlib
import functools
import time

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from pipeline.search.coordinator import Coordinator, Limits
from pipeline.search.study.retries import Retry
from pipeline.search.study.study import open_study
from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool
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
    with contextlib.closing(pool):
        return coordinator.run(), lost


@pytest.fixture(params=["sqlite, local", "postgresql, local", "sqlite, ray"])
def setting(request, make_job, monkeypatch):
    """Return a job in a storage, and the class of its pool."""
    storage, engine = request.param.split(", ")
    if engine == "ray":
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if storage == "sqlite":
        yield make_job(), RayPool if engine == "ray" else ProcessPool
        return
    job = make_job(storage_url=request.getfixturevalue("postgres_url"))
    yield job, ProcessPool
    optuna.delete_study(study_name=job.study_name, storage=job.open_storage())


@pytest.mark.slow
def test_four_workers_lose_no_trial_and_run_none_twice(setting):
    job, pool_class = setting
    study = open_study(job, features_digest="1")
    pool = pool_class(functools.partial(start_quick_worker, job), num_workers=4)
    standing, lost = coordinate(job, study, pool, NUM_TRIALS)
    trials = study.get_trials()
    ran = (job.study_dir / "ran.txt").read_text().split()
    assert (standing.num_complete, lost) == (NUM_TRIALS, [])
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * NUM_TRIALS
    assert sorted(map(int, ran)) == list(range(NUM_TRIALS))
    assert len({trial.user_attrs["worker"] for trial in trials}) > 1


@pytest.mark.slow
def test_the_trial_of_a_worker_that_is_killed_is_tried_again(setting):
    job, pool_class = setting
    study = open_study(job, features_digest="1")
    start = functools.partial(start_quick_worker, job, killed_in=3)
    standing, lost = coordinate(job, study, pool_class(start, num_workers=2), 8)
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
