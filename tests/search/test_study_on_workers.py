"""Search with real workers on real databases."""

import contextlib
import functools

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.coordinator import Coordinator
from pipeline.search.study.retries import Retry
from pipeline.search.study.storage import open_storage, open_study
from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool
from tests.search.quick_worker import start_quick_worker

NUM_TRIALS = 20


def coordinate(spec, study, pool, num_trials):
    lost = []
    coordinator = Coordinator(
        study=study,
        pool=pool,
        num_trials=num_trials,
        timeout_seconds=None,
        retry=Retry(max_retries=2),
        heartbeat_seconds=spec.config.search.heartbeat_seconds,
        on_end=lambda trial: None,
        on_lost=lambda trial, is_retried: lost.append(trial),
        on_tick=lambda status: None,
    )
    with contextlib.closing(pool):
        return coordinator.run(), lost


@pytest.fixture(params=["sqlite, local", "postgresql, local", "sqlite, ray"])
def setting(request, make_spec, monkeypatch):
    """A specification and a pool class."""
    storage, engine = request.param.split(", ")
    if engine == "ray":
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if storage == "sqlite":
        yield make_spec(), RayPool if engine == "ray" else ProcessPool
        return
    spec = make_spec(storage_url=request.getfixturevalue("postgres_url"))
    yield spec, ProcessPool
    optuna.delete_study(study_name=spec.study_name, storage=open_storage(spec))


@pytest.mark.slow
def test_four_workers_run_each_trial_once(setting):
    spec, pool_class = setting
    study = open_study(spec, features_hash="1")
    pool = pool_class(functools.partial(start_quick_worker, spec), num_workers=4)
    status, lost = coordinate(spec, study, pool, NUM_TRIALS)
    trials = study.get_trials()
    ran = (spec.study_dir / "ran.txt").read_text().split()
    assert (status.num_complete, lost) == (NUM_TRIALS, [])
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * NUM_TRIALS
    assert sorted(map(int, ran)) == list(range(NUM_TRIALS))
    assert len({trial.user_attrs["worker"] for trial in trials}) > 1


@pytest.mark.slow
def test_the_trial_of_a_killed_worker_is_retried(setting):
    spec, pool_class = setting
    study = open_study(spec, features_hash="1")
    setup = functools.partial(start_quick_worker, spec, killed_in=3)
    status, lost = coordinate(spec, study, pool_class(setup, num_workers=2), 8)
    trials = study.get_trials()
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == 3]
    assert [trial.number for trial in lost] == [3]
    assert trials[3].state == TrialState.FAIL
    assert again.params == trials[3].params
    assert again.state == TrialState.COMPLETE
    assert status.num_complete == 8
    assert len(trials) == 9
