"""The run of a trial whose worker died is ended, wherever it was."""

import platform

import optuna
import pytest

from pipeline.core.run_log import FINISHED, RunLog, read_events
from pipeline.search.close_lost_runs import end_orphan
from pipeline.search.trial_directory import trial_directory
from pipeline.workers.names import worker_name


@pytest.fixture
def job(make_job):
    return make_job()


@pytest.fixture
def run(job):
    run = trial_directory(job, 0)
    run.path.mkdir(parents=True)
    return run


@pytest.fixture
def ended(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "pipeline.search.close_lost_runs.end_run",
        lambda run_id, **what: calls.append((run_id, what)),
    )
    return calls


def last(run):
    return list(read_events(run.run_log_path))[-1]


def a_trial(worker="", **attributes):
    worker = worker or worker_name(1)
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.FAIL, user_attrs={"worker": worker, **attributes}
    )
    trial.number = 0
    return trial


def test_the_run_log_of_a_run_on_this_machine_is_ended(job, run, ended):
    RunLog(run.run_log_path).log_params({})
    end_orphan(job, a_trial())
    assert last(run).kind == FINISHED
    assert last(run).content["status"] == "KILLED"
    assert ended == []


def test_a_run_that_has_ended_by_itself_is_left_alone(job, run, ended):
    RunLog(run.run_log_path).log_status("FAILED", reason="NaN")
    end_orphan(job, a_trial())
    assert last(run).content["reason"] == "NaN"


def test_a_run_in_which_a_process_is_still_at_work_is_left_alone(job, run, ended):
    RunLog(run.run_log_path).log_params({})
    with run.locked():
        end_orphan(job, a_trial())
    assert last(run).kind == "params"


@pytest.mark.parametrize("host", ["elsewhere", platform.node(), f"{platform.node()}-0123abcd"])
def test_the_run_of_another_machine_is_ended_in_mlflow(job, ended, host):
    end_orphan(job, a_trial(worker=f"{host}-7", mlflow_run_id="abc"))
    assert [run_id for run_id, _ in ended] == ["abc"]


def test_a_trial_that_has_made_no_run_is_no_matter(job, ended):
    end_orphan(job, a_trial(worker="elsewhere-7"))
    assert ended == []
