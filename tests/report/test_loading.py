"""Run directories in any state are read."""

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RunError
from pipeline.core.files import write_json, write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.evaluation.speed_advice import Recommendation as SpeedRecommendation
from pipeline.records.typed_json import check_content
from pipeline.report.loading import ADVICE_FILE, FILES, load_records

NAMES = ["name", "epoch", "metrics", "split", "epoch_times", "issue", "breakdown", "half_widths"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=8,
)


@pytest.fixture
def run(tmp_path, contents):
    directory = RunDirectory(tmp_path / "a-run")
    for name, content in contents.items():
        if name.endswith(".yaml"):
            write_text(directory.path / name, yaml.safe_dump(content))
        else:
            write_json(directory.path / name, content)
    return directory


def test_a_whole_directory_is_read_without_problems(run):
    records = load_records(run, status="FINISHED")

    assert records.problems == ()
    assert records.name == "a-run"
    assert records.status == "FINISHED"
    assert records.environment.python == "3.11.7"


def test_a_run_is_placed_as_a_command_in_the_working_directory_names_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_records(run).directory == "a-run"
    monkeypatch.chdir(run.metrics_dir)
    assert load_records(run).directory == str(run.path)


def test_a_truncated_log_is_named_and_the_rest_is_read(run):
    path = run.path / "time_tracking/time_logs.json"
    path.write_text(path.read_text(encoding="utf-8")[:20], encoding="utf-8")

    records = load_records(run)

    assert records.time_logs is None
    assert records.summary is not None
    (problem,) = records.problems
    assert problem.startswith("time_tracking/time_logs.json: cannot be read as JSON")


def test_a_configuration_that_is_no_yaml_is_named_on_one_line(run):
    run.config_path.write_text("name: [", encoding="utf-8")

    (problem,) = load_records(run).problems

    assert problem.startswith("config.yaml: is not valid YAML")
    assert "\n" not in problem


def test_a_record_that_does_not_fit_is_named_and_the_others_count(run, contents):
    del contents["summary.json"]["best_epoch"]
    write_json(run.summary_path, contents["summary.json"])

    records = load_records(run)

    assert records.summary is None
    assert records.evaluation is not None
    assert records.problems == ("summary.json: cannot be used (best_epoch: field required).",)


def test_a_run_without_held_out_clips_needs_no_evaluation(run, contents):
    contents["summary.json"]["num_clips"]["validation"] = 0
    write_json(run.summary_path, contents["summary.json"])
    run.evaluation_path.unlink()

    assert load_records(run).problems == ()


@given(file=st.sampled_from(sorted(FILES)), content=JSON)
def test_whatever_a_file_holds_it_is_read_or_refused(file, content):
    with contextlib.suppress(RunError):
        check_content(FILES[file][1], content)


def test_what_the_time_rules_write_is_what_the_report_reads():
    found = SpeedRecommendation(
        issue="Validation is long",
        details="It takes 40 % of an epoch.",
        evidence={"validation_share": 0.4},
        advice="Validate on fewer clips.",
        gain_seconds=20.0,
        expected_gain="20 s of 60 s.",
    )
    (read,) = check_content(FILES[ADVICE_FILE][1], [found.to_json()])
    assert read.recommendation == "Validate on fewer clips."


def test_an_empty_directory_names_everything_that_is_missing(tmp_path):
    records = load_records(RunDirectory(tmp_path))

    assert len(records.problems) == 8
    assert all(problem.endswith("does not have this file.") for problem in records.problems)
