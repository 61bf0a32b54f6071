"""Close the run of a lost trial, on this machine or in MLflow."""

import platform

import optuna
import pytest

from pipeline.core.run_log import RunLog, read_last_status
from pipeline.search.mlflow_runs import close_lost_run
from pipeline.workers.names import worker_name


@pytest.fixture
def ended(monkeypatch):
    """Ids of the runs that were ended in MLflow."""
    run_ids = []
    monkeypatch.setattr(
        "pipeline.search.mlflow_runs.end_run", lambda run_id, **_: run_ids.append(run_id)
    )
    return run_ids


def lost_trial(worker="", **attributes):
    worker = worker or worker_name(1)
    trial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.FAIL, user_attrs={"worker": worker, **attributes}
    )
    trial.number = 0
    return trial


def test_a_run_on_this_machine_is_closed_in_its_run_log(spec, ended):
    run = spec.trial_run(0)
    run.path.mkdir(parents=True)
    RunLog(run.run_log_path).log_params({})
    close_lost_run(spec, lost_trial())
    assert read_last_status(run) == "KILLED"
    assert ended == []


@pytest.mark.parametrize("host", ["elsewhere", platform.node(), f"{platform.node()}-0123abcd"])
def test_the_run_of_another_machine_is_ended_in_mlflow(spec, ended, host):
    close_lost_run(spec, lost_trial(worker=f"{host}-7", mlflow_run_id="abc"))
    assert ended == ["abc"]
