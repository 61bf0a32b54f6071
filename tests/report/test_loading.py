import contextlib
import dataclasses

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


def test_a_complete_directory_has_no_problems(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = load_records(run, status="FINISHED")
    assert records.problems == ()
    assert (records.name, records.directory, records.status) == ("a-run", "a-run", "FINISHED")
    assert records.environment.python == "3.11.7"
    monkeypatch.chdir(run.metrics_dir)
    assert load_records(run).directory == str(run.path)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("time_tracking/time_logs.json", '{"epoch_times": [1', "cannot be read as JSON"),
        ("config.yaml", "name: [", "is not valid YAML"),
        ("summary.json", "{}", "cannot be used ("),
    ],
)
def test_a_damaged_file_is_one_problem(run, file, content, problem):
    (run.path / file).write_text(content, encoding="utf-8")
    records = load_records(run)
    assert getattr(records, FILES[file][0]) is None
    assert records.evaluation is not None
    (found,) = records.problems
    assert found.startswith(f"{file}: {problem}")
    assert "\n" not in found


def test_the_evaluation_of_the_split_is_used_and_the_others_are_kept(run, contents):
    validation = {**contents["evaluation.json"], "split": "validation", "num_clips": 500}
    write_json(run.earlier_evaluation_path("validation"), validation)
    for split, others in (
        ("validation", ["test"]),
        ("test", ["validation"]),
        ("all", ["validation"]),
    ):
        records = load_records(run, split=split)
        assert records.evaluation.split == ("test" if split == "all" else split)
        assert [other.split for other in records.other_evaluations] == others


def test_a_truncated_configuration_is_a_problem(run):
    (run.path / "config.yaml").write_text("name: cut\n", encoding="utf-8")
    records = load_records(run)
    assert records.config is None
    assert records.problems[0].startswith("config.yaml: is truncated")


def test_without_held_out_clips_no_evaluation_is_needed(run, contents):
    contents["summary.json"]["num_clips"]["validation"] = 0
    write_json(run.summary_path, contents["summary.json"])
    run.evaluation_path.unlink()
    assert load_records(run).problems == ()


@given(file=st.sampled_from(sorted(FILES)), content=JSON)
def test_any_content_is_either_read_or_raises_a_run_error(file, content):
    with contextlib.suppress(RunError):
        check_content(FILES[file][1], content)


def test_the_report_can_read_written_speed_advice():
    texts = dict.fromkeys(("issue", "details", "recommendation", "expected_gain"), "Text.")
    advice = SpeedRecommendation(**texts, evidence={"share": 0.4}, gain_seconds=20.0)
    (read,) = check_content(FILES[ADVICE_FILE][1], [dataclasses.asdict(advice)])
    assert dataclasses.asdict(read) == texts


def test_every_missing_file_is_a_problem(tmp_path):
    records = load_records(RunDirectory(tmp_path))
    assert len(records.problems) == 8
    assert all("does not have this file" in problem for problem in records.problems)
