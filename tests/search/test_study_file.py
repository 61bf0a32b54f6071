"""Write and read the files of a study. A damaged file is an error with the path."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.search.space.space_file import load_space
from pipeline.search.study.retries import Retry, mark_lost
from pipeline.search.study.study_file import read_study, study_content, write_study
from pipeline.tracking.run_link import Link, write_link
from tests.search.search_studies import STARTED_MS, synthetic_study

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")

JUNK = st.sampled_from(
    [None, True, -1, 10**400, 1e300, "", "text", [], [[1]], {}, {"a": None}, {"1": "x"}]
)


@pytest.fixture
def add_trial(spec, study):
    """Return a function that adds a trial. With a value, the trial is complete."""

    def add(value=None, **attributes):
        trial = study.ask()
        trial.set_user_attr("overrides", spec.space.propose(trial))
        for name, content in attributes.items():
            trial.set_user_attr(name, content)
        trial.report(0.9, 1)
        if value is not None:
            study.tell(trial, value)
        return study.get_trials()[trial.number]

    return add


@pytest.fixture
def read(tmp_path):
    """Return a function that writes the content of a `study.json` and reads it."""

    def write_and_read(content):
        write_json(tmp_path / "study.json", content)
        return read_study(tmp_path / "study.json")

    return write_and_read


def test_a_trial_is_written_with_settings_values_and_worker(spec, study, add_trial):
    add_trial(0.25, best_epochs=[2], worker="here-1", mlflow_run_id="abc")
    (trial,) = study_content(spec, study)["trials"]
    assert trial["seconds"] >= 0
    assert set(trial["overrides"]) == {"model.fusion_dim", "model.dropout_rate"}
    expected = {
        "state": "COMPLETE",
        "values": [0.25],
        "intermediate": {"1": 0.9},
        "worker": "here-1",
        "best_epochs": [2],
        "mlflow_run_id": "abc",
    }
    assert {key: trial[key] for key in expected} == expected


def test_an_mlflow_run_that_was_created_late_is_found_in_the_run_directory(spec, study, add_trial):
    add_trial(0.25)
    path = spec.trial_run(0).tracking_path
    path.parent.mkdir(parents=True)
    link = Link(tracking_uri="sqlite:///mlflow.db", experiment="e", run_name="n", run_id="late")
    write_link(path, link)
    (trial,) = study_content(spec, study)["trials"]
    assert trial["mlflow_run_id"] == "late"


@pytest.mark.parametrize(
    ("max_retries", "end"), [(1, "the trial was tried again"), (0, "not tried again")]
)
def test_a_lost_trial_has_a_reason(spec, study, add_trial, max_retries, end):
    mark_lost(study, add_trial(), Retry(max_retries=max_retries))
    lost, *again = study_content(spec, study)["trials"]
    assert lost["reason"].startswith("the worker died")
    assert lost["reason"].endswith(end)
    assert [trial["retry_of"] for trial in again] == [0] * max_retries


def test_the_parameter_that_determines_the_objective_is_the_most_important(spec, study):
    for number in range(30):
        trial = study.ask()
        overrides = spec.space.propose(trial)
        trial.set_user_attr("overrides", overrides)
        study.tell(trial, overrides["model.dropout_rate"] + 0.001 * np.sin(number))
    content = study_content(spec, study)
    assert content["pareto"] == [content["best"]["number"]]
    for shares in content["importances"].values():
        assert max(shares, key=shares.get) == "model.dropout_rate"
        assert sum(shares.values()) == pytest.approx(1.0)


def test_the_files_of_a_study(spec, study, add_trial):
    add_trial(0.5)
    failed = add_trial(reason="TrainingError: NaN")
    study.tell(failed.number, state=TrialState.FAIL)
    write_study(spec, study)
    directory = spec.run.search_dir
    content = json.loads((directory / "study.json").read_text())
    assert content["objectives"] == [{"name": "mae", "direction": "minimize"}]
    assert content["importances_note"] == "needs 8 complete trials; there are 1."
    assert content["trials"][1]["reason"] == "TrainingError: NaN"
    assert content["trials"][1]["values"] is None
    assert content["parameters"][0] == {
        "name": "model.fusion_dim",
        "kind": "categorical",
        "log": False,
        "choices": [8, 16],
        "low": None,
        "high": None,
    }
    table = pd.read_csv(directory / "trials.csv")
    assert (table.loc[0, "mae"], table.loc[0, "state"]) == (0.5, "COMPLETE")
    space = load_space(directory / "space.yaml", spec.config)
    assert space.to_json() == spec.space.to_json()


def test_states_values_and_times_are_read(read):
    content = synthetic_study(12)
    content["trials"][3] |= {"state": "RUNNING", "seconds": None}
    content["trials"][4] |= {"state": "WAITING", "seconds": None, "started_ms": None}

    trials = read(content).study.trials

    assert [trial.state.name for trial in trials] == [each["state"] for each in content["trials"]]
    for trial, written in zip(trials, content["trials"], strict=True):
        if trial.state == TrialState.COMPLETE:
            assert trial.values == written["values"]
            assert trial.duration == dt.timedelta(seconds=written["seconds"])
    assert trials[0].datetime_start.timestamp() == STARTED_MS / 1000
    assert trials[3].datetime_complete is None
    assert trials[4].datetime_start is None


def test_values_that_are_not_finite_are_left_out(read):
    content = synthetic_study(2, share_pruned=0)
    content["trials"][0] |= {"values": [None], "intermediate": {"1": 0.5, "2": None, "10": 0.3}}
    diverged, complete = read(content).study.trials
    assert (diverged.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert diverged.intermediate_values == {1: 0.5, 10: 0.3}


def test_parameters_have_short_names_in_descending_importance(read):
    content = synthetic_study(20, num_parameters=3)
    content["importances"]["ped_anova"] = {
        "training.learning_rate": 0.1,
        "model.fusion_dim": 0.2,
        "model.dropout": 0.7,
    }

    record = read(content)

    assert record.parameters == ("dropout", "fusion_dim", "learning_rate")
    assert list(record.importances.values()) == [0.7, 0.2, 0.1]


def test_parameters_with_the_same_last_part_keep_their_full_names(read):
    content = synthetic_study(9, num_parameters=2)
    text = json.dumps(content).replace("model.fusion_dim", "model.learning_rate")

    assert set(read(json.loads(text)).parameters) == {
        "training.learning_rate",
        "model.learning_rate",
    }


@pytest.mark.parametrize("value", [128, 0.5, "text", [1, 2], None, True])
@pytest.mark.parametrize("parameter", range(5))
def test_trials_outside_the_declared_space_are_read(read, parameter, value):
    content = synthetic_study(9, share_pruned=0, share_failed=0)
    name = content["parameters"][parameter]["name"]
    content["trials"][0]["overrides"][name] = value

    assert len(read(content).complete) == 9


def test_the_description_has_counts_and_best_trial(read):
    content = synthetic_study(3, share_pruned=0)
    content["trials"][0]["values"], content["trials"][1]["values"] = [0.25], [0.125]
    content["trials"][2] |= {"state": "FAIL", "values": None}
    text = read(content).describe()
    assert "2 complete, 1 failed" in text
    assert "trial 1 with MAE 0.125" in text
    record = read(synthetic_study(10, objectives=("accuracy", "weights")))
    assert [each.name for each in record.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert record.first.direction.name == "MAXIMIZE"
    assert record.objectives == ("accuracy", "number of weights")


def places_of(value, path=()):
    """Yield the key path of each value in nested JSON, with one item per list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places_of(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from places_of(value[0], (*path, 0))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_gives_a_study_or_an_error_with_the_path(data, read):
    content = synthetic_study(6)
    *parents, key = data.draw(st.sampled_from(list(places_of(content))))
    place = content
    for parent in parents:
        place = place[parent]
    place[key] = data.draw(JUNK)
    try:
        assert read(content).describe()
    except PipelineError as error:
        assert "study.json: is not the record of a search" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
