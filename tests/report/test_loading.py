"""Run directories in any state are read."""

import pytest
import yaml

from pipeline.core.files import write_json, write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.report.loading import load_records


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


def test_an_empty_directory_names_everything_that_is_missing(tmp_path):
    records = load_records(RunDirectory(tmp_path))

    assert len(records.problems) == 8
    assert all(problem.endswith("does not have this file.") for problem in records.problems)
