"""Times, settings and versions are told as they were recorded."""

from pipeline.config.schema import ExperimentConfig, TrainingConfig
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content
from pipeline.report.run_tables import (
    breakdown_table,
    config_table,
    environment_table,
    time_table,
)


def texts(table):
    return {
        row.heading: [cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in row.cells]
        for row in table.rows
    }


def times_of(**content):
    return check_content(TimeLogs, content)


def test_the_first_epoch_is_told_apart_from_the_others():
    table = time_table(times_of(epoch_times=[6.0, 1.0, 2.0], total_training_time=9.0))

    assert texts(table) == {
        "all epochs, validation included": ["9 s", ""],
        "training part of the first epoch, start-up included": ["6 s", ""],
        "training part of each further epoch": ["1.5 s", "1.95 s"],
    }


def test_a_single_measurement_has_no_distribution():
    assert texts(time_table(times_of(epoch_times=[0.5]))) == {
        "training part of the first epoch, start-up included": ["500 ms", ""]
    }


def test_nothing_measured_is_no_table():
    assert time_table(times_of(epoch_times=[])) is None
    assert breakdown_table(times_of(epoch_times=[1.0])) is None
    assert breakdown_table(times_of(epoch_times=[1.0], breakdown={"step": 0.0})) is None


def test_the_breakdown_begins_with_the_largest_part():
    times = times_of(
        epoch_times=[1.0],
        breakdown={"input": [0.25, None, 0.25], "step": 1.5, "figures": None, "logging": 0.0},
    )

    assert list(texts(breakdown_table(times)).items()) == [
        ("Training steps", ["1.5 s", "75 %"]),
        ("Waiting for input", ["500 ms", "25 %"]),
    ]


def test_settings_that_differ_stand_beside_their_default():
    config = ExperimentConfig(training=TrainingConfig(num_epochs=20))

    table = config_table(config)

    assert texts(table)["training.num_epochs"] == ["20", "50"]
    assert texts(table)["training.batch_size"] == ["32", ""]
    assert [row.heading for row in table.rows if row.is_key] == ["training.num_epochs"]


def test_the_environment_names_commit_versions_and_features(records_with):
    told = texts(environment_table(records_with()))

    assert told["commit"] == ["0123456789abcdef0123456789abcdef01234567, unchanged"]
    assert told["keras"] == ["3.15.1"]
    assert told["digest of the features"] == ["d1ce"]


def test_code_that_was_changed_is_said_to_be(records_with):
    git = {"commit": "0123", "is_dirty": True}

    told = texts(environment_table(records_with(environment={"git": git})))

    assert told["commit"] == ["0123, changed since"]


def test_an_unknown_environment_has_no_table(records_with):
    assert environment_table(records_with(environment=None)) is None
