import datetime as dt
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.search.study.study_file import read_study
from tests.search.search_studies import STARTED_MS, study_content

JUNK = st.sampled_from(
    [None, True, -1, 10**400, 1e300, "", "text", [], [[1]], {}, {"a": None}, {"1": "x"}]
)


@pytest.fixture
def read(tmp_path):
    """Return a function that writes the content of a `study.json` and reads it."""

    def write_and_read(content):
        write_json(tmp_path / "study.json", content)
        return read_study(tmp_path / "study.json")

    return write_and_read


def test_states_values_and_times_of_trials_are_kept(read):
    content = study_content(12)
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


def test_a_trial_without_a_finite_value_counts_as_failed(read):
    content = study_content(2, share_pruned=0)
    content["trials"][0]["values"] = [None]

    states = [trial.state for trial in read(content).study.trials]

    assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_values_that_are_not_finite_are_missing_from_a_curve(read):
    content = study_content(1)
    content["trials"][0]["intermediate"] = {"1": 0.5, "2": None, "10": 0.3}

    assert read(content).study.trials[0].intermediate_values == {1: 0.5, 10: 0.3}


def test_parameters_have_short_names_and_the_most_important_comes_first(read):
    content = study_content(20, num_parameters=3)
    content["importances"]["ped_anova"] = {
        "training.learning_rate": 0.1,
        "model.fusion_dim": 0.2,
        "model.dropout": 0.7,
    }

    record = read(content)

    assert record.parameters == ("dropout", "fusion_dim", "learning_rate")
    assert list(record.importances.values()) == [0.7, 0.2, 0.1]


def test_parameters_that_end_alike_keep_their_full_names(read):
    content = study_content(9, num_parameters=2)
    text = json.dumps(content).replace("model.fusion_dim", "model.learning_rate")

    assert set(read(json.loads(text)).parameters) == {
        "training.learning_rate",
        "model.learning_rate",
    }


@pytest.mark.parametrize("value", [128, 0.5, "text", [1, 2], None, True])
@pytest.mark.parametrize("parameter", range(5))
def test_trials_outside_the_declared_space_are_kept(read, parameter, value):
    content = study_content(9, share_pruned=0, share_failed=0)
    name = content["parameters"][parameter]["name"]
    content["trials"][0]["overrides"][name] = value

    assert len(read(content).complete) == 9


def test_one_study_has_the_first_objective_only(read):
    record = read(study_content(10, objectives=("accuracy", "weights")))

    assert [each.name for each in record.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert record.first.direction.name == "MAXIMIZE"
    assert record.first.best_trial.number in {
        trial.number for trial in record.study.best_trials
    } | {trial.number for trial in record.complete}
    assert record.objectives == ("accuracy", "number of weights")


def test_the_description_has_the_counts_and_the_best_trial(read):
    content = study_content(3, share_pruned=0)
    content["trials"][0]["values"], content["trials"][1]["values"] = [0.25], [0.125]
    content["trials"][2] |= {"state": "FAIL", "values": None}

    assert read(content).describe() == (
        "3 trials (2 complete, 1 failed); best: trial 1 with MAE 0.125."
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PipelineError, match=r"study\.json: there is no such file"):
        read_study(tmp_path / "study.json")


def places_of(value, path=()):
    """Every place in nested JSON, as a path of keys; the first item stands for a whole list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places_of(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from places_of(value[0], (*path, 0))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_a_study_or_an_error_with_the_path(data, read):
    content = study_content(6)
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
