import json
from pathlib import Path

import pytest

from pipeline.config.schema import ExperimentConfig, to_dict
from pipeline.core.errors import RunError
from pipeline.evaluation.advice import Recommendation
from pipeline.evaluation.recommendations import (
    RULES,
    recommendations,
    recommendations_text,
    save_recommendations,
)
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content


def a_recommendation(**changes):
    fields = {
        "issue": "Steps wait",
        "details": "3 s of 10 s went by waiting.",
        "evidence": {"wait_seconds": 3.0},
        "advice": "Hold the features in memory.",
        "gain_seconds": 3.0,
        "expected_gain": "up to 3 s of 10 s.",
    }
    return Recommendation(**(fields | changes))


def advice_for(*, time_logs, history, config, **options):
    logs = check_content(TimeLogs, time_logs), check_content(MetricsHistory, history)
    return recommendations(*logs, config, **options)


def test_an_orderly_run_gets_no_advice(orderly_run):
    assert advice_for(**orderly_run, num_train_clips=310) == ()


def test_a_run_before_its_first_epoch_gets_no_advice(orderly_run):
    orderly_run["time_logs"] = {"epoch_times": []}
    assert advice_for(**orderly_run) == ()


def test_the_largest_gain_comes_first(orderly_run):
    logs = orderly_run["time_logs"]
    logs["validation_times"] = [1.0] * 10
    logs["epoch_times"][0] = 40.0
    orderly_run["history"]["epoch"]["val_metrics"]["mae"] = [0.1] * 10
    found = advice_for(**orderly_run)
    gains = [recommendation.gain_seconds for recommendation in found]
    assert len(found) == 3
    assert gains == sorted(gains, reverse=True)


def test_every_gain_is_within_the_time_of_the_run(orderly_run):
    logs = orderly_run["time_logs"]
    logs["validation_times"] = [1.0] * 10
    logs["epoch_times"][0] = 40.0
    total = sum(logs["epoch_times"]) + sum(logs["validation_times"])
    assert all(0 < found.gain_seconds < total for found in advice_for(**orderly_run))


def test_the_settings_that_rules_ask_for_are_those_of_the_configuration(orderly_run):
    config = to_dict(ExperimentConfig())
    for section, settings in orderly_run["config"].items():
        assert set(settings) <= set(config[section])
    assert advice_for(**orderly_run | {"config": config}) == ()


def test_a_configuration_without_a_setting_is_refused(orderly_run):
    del orderly_run["config"]["training"]["cache"]
    with pytest.raises(RunError, match=r"config\.yaml: has no training\.cache"):
        advice_for(**orderly_run)


def test_each_rule_is_asked_once():
    assert len(set(RULES)) == len(RULES) == 8


def test_the_json_has_the_keys_that_tools_of_the_field_read(tmp_path: Path):
    json_path, text_path = save_recommendations(tmp_path, [a_recommendation()])
    assert json_path.name == "training_speedup_recommendations.json"
    assert text_path.name == "training_speedup_recommendations.txt"
    assert json.loads(json_path.read_text()) == [
        {
            "issue": "Steps wait",
            "details": "3 s of 10 s went by waiting.",
            "evidence": {"wait_seconds": 3.0},
            "recommendation": "Hold the features in memory.",
            "expected_gain": "up to 3 s of 10 s.",
        }
    ]


def test_no_advice_is_written_as_such(tmp_path: Path):
    json_path, text_path = save_recommendations(tmp_path, [])
    assert json.loads(json_path.read_text()) == []
    assert text_path.read_text().startswith("Nothing stands out")


def test_the_text_numbers_its_items():
    text = recommendations_text([a_recommendation(), a_recommendation(issue="Batches are small")])
    assert text.splitlines()[0] == "1. Steps wait"
    assert "2. Batches are small" in text
    assert "   Gain:     up to 3 s of 10 s." in text
