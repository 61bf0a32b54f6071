import json

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.figures.search_study import Objective, parse_study, read_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content


def test_trials_come_in_the_order_of_their_numbers():
    content = study_content(5)
    content["trials"].reverse()

    assert [trial.number for trial in parse_study(content).trials] == [0, 1, 2, 3, 4]


def test_a_complete_trial_keeps_its_values_and_a_pruned_one_has_none():
    content = study_content(2, share_pruned=0.0, share_failed=0.0)
    content["trials"][0]["values"] = [0.25]
    content["trials"][1] |= {"state": "PRUNED", "values": None}

    first, second = parse_study(content).trials

    assert (first.state, first.values) == ("complete", (0.25,))
    assert second.state == "pruned"
    assert second.values[0] != second.values[0]


def test_a_complete_trial_without_a_finite_value_counts_as_failed():
    content = study_content(1)
    content["trials"][0]["values"] = [None]

    assert parse_study(content).complete == ()
    assert parse_study(content).trials[0].state == "failed"


def test_a_failed_trial_that_was_tried_again_is_lost():
    content = study_content(3, share_pruned=0.0, share_failed=0.0)
    content["trials"][1] |= {"state": "FAIL", "values": None}
    content["trials"][2]["retry_of"] = 1

    assert [trial.state for trial in parse_study(content).trials] == [
        "complete",
        "lost",
        "complete",
    ]


def test_reported_epochs_are_sorted_as_numbers():
    content = study_content(1)
    content["trials"][0]["intermediate"] = {"10": 0.3, "9": 0.4, "2": None}

    curve = parse_study(content).trials[0].curve

    assert list(curve) == [2, 9, 10]
    assert curve[10] == 0.3
    assert curve[2] != curve[2]


def test_the_default_is_the_attempt_that_was_completed():
    content = study_content(2, share_pruned=0.0, share_failed=0.0)
    content["trials"][0] |= {"state": "FAIL", "values": None}
    content["trials"][1] |= {"is_default": True, "retry_of": 0}

    default = parse_study(content).default

    assert default is not None
    assert default.number == 1


def test_parameters_are_ranked_by_their_mean_importance_and_the_unmeasured_last():
    content = study_content(20, num_parameters=3)
    rate, width, dropout = (each["name"] for each in content["parameters"])
    content["importances"] = {
        "ped_anova": {width: 0.2, dropout: 0.8},
        "fanova": {width: 0.7, dropout: 0.3},
    }

    found = parse_study(content)

    assert [each.name for each in found.ranked_parameters] == [dropout, width, rate]
    assert found.importance(width) == pytest.approx(0.45)
    assert found.importance(rate) == -1


def test_without_importances_parameters_keep_the_order_of_the_space():
    found = study(3, num_parameters=4)

    assert found.ranked_parameters == found.parameters


def test_too_few_complete_trials_are_told_by_their_states():
    with pytest.raises(NothingToDraw, match=r"needs 2 complete trials; found 3 failed\."):
        study(3, share_failed=1.0).require_complete(2)
    with pytest.raises(NothingToDraw, match="found no trial at all"):
        study(0).require_complete()


@pytest.mark.parametrize(
    ("name", "label", "short"),
    [
        ("mae", "validation MAE (score units)", "MAE"),
        ("accuracy", "validation accuracy (1 − MAE)", "accuracy"),
        ("r2", "validation R²", "R²"),
        ("pcc", "validation Pearson correlation", "PCC"),
        ("weights", "number of weights", "weights"),
        ("latency_ms", "latency (ms a clip)", "latency in ms"),
        ("novel", "validation novel", "novel"),
    ],
)
def test_an_objective_is_told_in_words(name, label, short):
    objective = Objective(name=name, is_maximised=False)

    assert (objective.label, objective.short) == (label, short)


def test_an_objective_says_which_values_are_better():
    assert Objective(name="mae", is_maximised=False).better == "lower is better"
    assert Objective(name="ccc", is_maximised=True).better == "higher is better"


@pytest.mark.parametrize(
    "damage",
    [
        {"trials": [{"number": 1}]},
        {"objectives": []},
        {"objectives": [{"name": "mae", "direction": "down"}]},
        {"parameters": [{"name": "a", "kind": "float"}]},
        {"best": 3},
        {"pareto": None},
    ],
)
def test_what_is_no_record_of_a_search_is_refused_with_its_path(tmp_path, damage):
    path = tmp_path / "study.json"
    write_json(path, study_content(2) | damage)

    with pytest.raises(PipelineError, match=r"study\.json: is not the record of a search") as told:
        read_study(path)

    assert "\n" not in str(told.value)


def test_a_truncated_record_is_refused(tmp_path):
    path = tmp_path / "study.json"
    path.write_text(json.dumps(study_content(2))[:500])

    with pytest.raises(PipelineError, match="cannot be read as JSON"):
        read_study(path)


def test_a_study_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "study.json"
    write_json(path, study_content(12))

    found = read_study(path)

    assert found.name == "fusion search"
    assert len(found.trials) == 12
    assert found.best is not None
    assert found.best.values[0] == min(trial.values[0] for trial in found.complete)
