import math

import pytest

from pipeline.config.schema import ExperimentConfig, TrainingConfig
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, traits_entry
from pipeline.metrics.regression import METRICS
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content
from pipeline.report.tables import (
    baseline_tables,
    config_tables,
    environment_tables,
    score_tables,
    stream_tables,
    subgroup_tables,
    time_tables,
)
from tests.report.conftest import make_scores

INTERVAL = "[0.400,\N{NO-BREAK SPACE}0.500]"


def texts(table):
    return {
        heading: [cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in cells]
        for heading, cells in table.rows.items()
    }


def test_every_trait_has_every_metric_with_its_interval(records_with):
    table, _ = score_tables(records_with())
    assert list(table.rows) == [*TRAITS, "mean"]
    assert table.keys == ("mean",)
    assert table.columns == ("trait", "accuracy ↑", "MAE ↓", "MSE ↓", "R² ↑", "PCC ↑", "CCC ↑")
    expected = ["0.9100", "0.0900", "0.01200", "0.450", "0.680", "0.620"]
    assert texts(table)["openness"] == expected
    assert table.rows["openness"][3].detail == INTERVAL


def test_the_note_names_reversed_traits(records_with):
    reversed_table, _ = score_tables(records_with(data=traits_entry(FIRST_IMPRESSIONS)))
    assert "Neuroticism is scored in reverse" in reversed_table.note
    table, _ = score_tables(records_with())
    assert "reverse" not in table.note


def original_units(**changes):
    errors = {name: {"value": 0.55, "low": 0.5, "high": 0.6} for name in (*TRAITS, "mean")}
    ranges = dict.fromkeys(TRAITS, (1.0, 7.0))
    return {"original_units": {"label_ranges": ranges, "mae": errors, "rmse": errors} | changes}


def test_errors_in_original_units_have_a_table_with_the_scale(records_with):
    _, table, _ = score_tables(records_with(evaluation=original_units()))
    assert table.columns == ("trait", "MAE ↓", "RMSE ↓")
    assert list(table.rows) == [*TRAITS, "mean"]
    assert table.rows["mean"][0] == ("0.5500", "[0.5000,\N{NO-BREAK SPACE}0.6000]")
    assert "1 to 7" in table.note


def test_scores_with_and_without_each_stream_have_a_table(records_with):
    assert stream_tables(records_with().evaluation) == ()
    gain = {
        metric: {name: {"value": 0.01, "low": 0.005, "high": 0.015} for name in (*TRAITS, "mean")}
        for metric in METRICS
    }
    evaluation = records_with(evaluation={"without_stream": {"audio": gain}}).evaluation
    (table,) = stream_tables(evaluation)
    assert list(table.rows) == ["all streams", "without audio", "gain from audio"]
    r2 = [cells[3].text for cells in table.rows.values()]
    assert r2 == ["0.450", "0.440", "0.010"]


def test_different_scales_have_no_mean_row(records_with):
    errors = {name: {"value": 0.55} for name in TRAITS}
    changes = original_units(
        mae=errors, rmse=errors, label_ranges=dict.fromkeys(TRAITS, (1, 7)) | {"openness": (1, 5)}
    )
    _, table, _ = score_tables(records_with(evaluation=changes))
    assert list(table.rows) == list(TRAITS)
    assert "openness 1 to 5" in table.note
    assert "no mean" in table.note


def test_prediction_intervals_have_coverage_and_width(records_with):
    _, table = score_tables(records_with())
    assert list(table.rows) == [*TRAITS, "mean"]
    covered = ("0.905", "[0.885,\N{NO-BREAK SPACE}0.925]")
    assert list(table.rows["mean"]) == [covered, ("0.353", "")]
    assert "250 groups: new groups" in table.note
    assert len(score_tables(records_with(evaluation={"intervals": None}))) == 1


def test_the_model_comes_before_its_baselines(records_with):
    means, per_trait, differences = baseline_tables(records_with().evaluation)
    expected = ["this model", "training mean", "same-group mean *", "ridge regression"]
    assert list(means.rows) == list(per_trait.rows) == expected
    assert list(differences.rows) == ["training mean", "ridge regression"]
    assert means.rows["ridge regression"][3].text == "0.300"
    assert per_trait.rows["this model"][0].detail == INTERVAL
    assert means.keys == ("this model",)


def test_the_same_group_mean_is_explained(records_with):
    only_ridge = records_with(evaluation={"baselines": {"ridge": make_scores()}})
    for records, is_explained in ((records_with(), True), (only_ridge, False)):
        assert ("same-group mean" in baseline_tables(records.evaluation)[0].note) is is_explained


def test_the_intervals_of_differences_are_paired(records_with):
    differences = {
        name: make_scores(r2=(0.15, -0.01, 0.31)) for name in ("same_group_mean", "ridge")
    }
    *_, table = baseline_tables(records_with(differences=differences).evaluation)
    assert table.rows["ridge regression"][3].detail.startswith("[−0.010,")


def test_subgroups_have_sizes_and_a_warning(records_with):
    small = make_scores(r2=(0.1, math.nan, math.nan))
    by = {
        "a": {"num_clips": 1200, "num_groups": 60, "metrics": make_scores()},
        "b": {"num_clips": 9, "num_groups": 3, "metrics": small},
    }
    (table,) = subgroup_tables(records_with(evaluation={"by": {"gender": by}}).evaluation)
    assert table.caption == "By gender"
    assert texts(table)["a"][:2] == ["1,200", "60"]
    assert table.rows["b"][5] == ("0.100", "")
    assert "fewer than 30 groups" in table.note


def test_the_first_epoch_has_its_own_row():
    times = {"epoch_times": [6.0, 1.0, 2.0], "total_training_time": 9.0}
    (table,) = time_tables(check_content(TimeLogs, times))
    assert texts(table) == {
        "all epochs, validation included": ["9 s", ""],
        "training part of the first epoch, start-up included": ["6 s", ""],
        "training part of a later epoch": ["1.5 s", "1.95 s"],
    }


def test_parts_of_the_run_are_sorted_by_time():
    parts = {"input": [0.25, None, 0.25], "step": 1.5, "figures": None, "logging": 0.0}
    _, table = time_tables(check_content(TimeLogs, {"epoch_times": [1.0], "breakdown": parts}))
    assert list(texts(table).items()) == [
        ("Training steps", ["1.5 s", "75 %"]),
        ("Waiting for input", ["500 ms", "25 %"]),
    ]


def test_changed_settings_have_their_default():
    (table,) = config_tables(ExperimentConfig(training=TrainingConfig(num_epochs=20)))
    assert texts(table)["training.num_epochs"] == ["20", "50"]
    assert texts(table)["training.batch_size"] == ["32", ""]
    assert list(table.keys) == ["training.num_epochs"]


@pytest.mark.parametrize(
    ("is_dirty", "expected"), [(False, "0123, unchanged"), (True, "0123, with uncommitted changes")]
)
def test_the_environment_has_commit_versions_and_feature_hash(records_with, is_dirty, expected):
    git = {"commit": "0123", "is_dirty": is_dirty}
    found = texts(*environment_tables(records_with(environment={"git": git})))
    assert found["commit"] == [expected]
    assert found["keras"] == ["3.15.1"]
    assert found["hash of the features"] == ["d1ce"]


def test_without_records_there_are_no_tables(records_with):
    records = records_with(evaluation=None, environment=None)
    empty = check_content(TimeLogs, {"epoch_times": []})
    assert score_tables(records) == environment_tables(records) == ()
    assert baseline_tables(None) == subgroup_tables(None) == config_tables(None) == ()
    assert time_tables(None) == time_tables(empty) == ()
    assert baseline_tables(records_with(evaluation={"baselines": {}}).evaluation) == ()
