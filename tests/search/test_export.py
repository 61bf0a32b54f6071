"""A study as plain files: what happened, and what mattered."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from pipeline.search.study.export import describe_study, write_study
from pipeline.search.study.retries import Retry, mark_lost
from pipeline.search.trial_directory import trial_directory
from pipeline.tracking.run_link import Link, write_link

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")


@pytest.fixture
def job(make_job):
    return make_job()


@pytest.fixture
def study(job, make_study):
    return make_study(job)


def run(job, study, value=None, **attributes):
    trial = study.ask()
    trial.set_user_attr("overrides", job.space.propose(trial))
    for name, content in attributes.items():
        trial.set_user_attr(name, content)
    trial.report(0.9, 1)
    if value is not None:
        study.tell(trial, value)
    return trial


def test_a_trial_is_told_with_its_settings_and_its_end(job, study):
    run(job, study, 0.25, best_epochs=[2], worker="here-1", mlflow_run_id="abc")
    (trial,) = describe_study(job, study)["trials"]
    assert trial["state"] == "COMPLETE"
    assert trial["values"] == [0.25]
    assert set(trial["overrides"]) == {"model.fusion_dim", "model.dropout_rate"}
    assert trial["intermediate"] == {"1": 0.9}
    assert (trial["worker"], trial["best_epochs"]) == ("here-1", [2])
    assert trial["seconds"] >= 0
    assert trial["mlflow_run_id"] == "abc"


def test_a_run_that_mlflow_got_after_its_trial_had_ended_is_found_in_its_directory(job, study):
    run(job, study, 0.25)
    path = trial_directory(job, 0).tracking_path
    path.parent.mkdir(parents=True)
    link = Link(tracking_uri="sqlite:///mlflow.db", experiment="ocean", run_name="first")
    write_link(path, dataclasses.replace(link, run_id="late"))
    (trial,) = describe_study(job, study)["trials"]
    assert trial["mlflow_run_id"] == "late"


def test_a_lost_trial_has_a_reason(job, study):
    trial = run(job, study)
    mark_lost(study, study.get_trials()[trial.number], Retry(max_retries=1))
    lost, again = describe_study(job, study)["trials"]
    assert lost["reason"] == "its worker died; it was tried again"
    assert again["retry_of"] == 0


def test_a_trial_that_was_given_up_says_so(job, study):
    trial = run(job, study)
    mark_lost(study, study.get_trials()[trial.number], Retry(max_retries=0))
    (lost,) = describe_study(job, study)["trials"]
    assert lost["reason"] == "its worker died; it was given up"


def test_a_failed_trial_keeps_its_reason_and_has_no_value(job, study):
    trial = run(job, study, reason="TrainingError: NaN")
    study.tell(trial.number, state=TrialState.FAIL)
    (failed,) = describe_study(job, study)["trials"]
    assert (failed["reason"], failed["values"]) == ("TrainingError: NaN", None)


def test_the_best_and_the_front_are_numbers_of_trials(job, study):
    for value in (0.5, 0.2, 0.3):
        run(job, study, value)
    described = describe_study(job, study)
    assert described["best"] == {"number": 1}
    assert described["pareto"] == [1]


def test_few_trials_have_no_importances_but_a_reason(job, study):
    run(job, study, 0.5)
    described = describe_study(job, study)
    assert described["importances"] is None
    assert described["importances_note"] == "needs 8 complete trials; there are 1."


def test_what_decides_the_value_is_the_most_important(job, study):
    for number in range(30):
        trial = study.ask()
        overrides = job.space.propose(trial)
        trial.set_user_attr("overrides", overrides)
        noise = 0.001 * np.sin(number)
        study.tell(trial, overrides["model.dropout_rate"] + noise)
    for shares in describe_study(job, study)["importances"].values():
        assert max(shares, key=shares.get) == "model.dropout_rate"
        assert sum(shares.values()) == pytest.approx(1.0)


def test_the_files_can_be_read_back(job, study):
    run(job, study, 0.5)
    write_study(job, study)
    directory = job.run.search_dir
    described = json.loads((directory / "study.json").read_text())
    table = pd.read_csv(directory / "trials.csv")
    assert described["objectives"] == [{"name": "mae", "direction": "minimize"}]
    assert described["parameters"][0] == {
        "name": "model.fusion_dim",
        "kind": "categorical",
        "log": False,
        "choices": [8, 16],
        "low": None,
        "high": None,
    }
    assert table.loc[0, "mae"] == 0.5
    assert table.loc[0, "state"] == "COMPLETE"


def test_the_space_that_is_written_is_read_again(job, study):
    from pipeline.search.space.space_file import load_space

    write_study(job, study)
    again = load_space(job.run.search_dir / "space.yaml", job.config)
    assert again.to_json() == job.space.to_json()
