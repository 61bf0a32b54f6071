import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.run_log import RunLog
from pipeline.tracking.run_link import Link, new_link, note_link, read_link, write_link


def make_link(**settings):
    return new_link(tracking_uri="http://store", experiment="ocean", run_name="first", **settings)


def test_a_new_link_has_no_run_until_the_store_was_reached(monkeypatch):
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert make_link().run_id == ""


def test_the_run_that_mlflow_run_made_is_adopted_by_one_link_only(monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "made-by-mlflow-run")
    assert [make_link().run_id, make_link().run_id] == ["made-by-mlflow-run", ""]


def test_a_nested_run_leaves_the_run_of_mlflow_run_to_its_parent(monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "made-by-mlflow-run")
    assert make_link(parent_dir="../..").run_id == ""
    assert make_link().run_id == "made-by-mlflow-run"


def test_a_link_is_read_back_as_it_was_written(tmp_path):
    link = Link(
        tracking_uri="sqlite:////store.db",
        experiment="ocean",
        run_name="first",
        run_id="abc",
        parent_dir="../..",
        step_stride=7,
        experiment_id="3",
    )
    write_link(tmp_path / "mlflow.json", link)
    assert read_link(tmp_path / "mlflow.json") == link


@pytest.mark.parametrize(
    ("environment", "experiment_id"),
    [
        ({}, ""),
        ({"MLFLOW_EXPERIMENT_ID": "3"}, "3"),
        ({"MLFLOW_EXPERIMENT_ID": "3", "MLFLOW_EXPERIMENT_NAME": "x"}, ""),
        ({"MLFLOW_EXPERIMENT_ID": "3", "MLFLOW_RUN_ID": "abc"}, ""),
    ],
)
def test_the_experiment_id_of_the_environment_is_taken(monkeypatch, environment, experiment_id):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert make_link(parent_dir="../..").experiment_id == ""
    assert make_link().experiment_id == experiment_id


def test_no_password_is_written(tmp_path):
    path = tmp_path / "mlflow.json"
    link = Link(tracking_uri="http://me:s3cret@store", experiment="x", run_name="y", run_id="abc")
    note_link(path, link)
    assert read_link(path).tracking_uri == "http://me:***@store"
    assert "s3cret" not in "".join(each.read_text() for each in tmp_path.iterdir())


DAMAGES = {
    "gone": None,
    "empty": "",
    "cut": '{"tracking_uri": ',
    "a list": "[]",
    "another key": '{"colour": "blue"}',
    "a wrong type": '{"tracking_uri": 1, "experiment": "x", "run_name": "y"}',
    "no line end": '{"tracking_uri": "u", "experiment": "x", "run_name": "y", "delivered": 7}',
    "behind the end": '{"tracking_uri": "u", "experiment": "x", "run_name": "y", "delivered": 999}',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_link_is_recovered_from_the_run_log(tmp_path, damage):
    path = tmp_path / "mlflow.json"
    RunLog(tmp_path / "events.jsonl").log_params({})
    link = Link(tracking_uri="http://me:s3cret@u", experiment="x", run_name="y", run_id="abc")
    note_link(path, link)
    path.unlink()
    if DAMAGES[damage] is not None:
        path.write_text(DAMAGES[damage])
    assert read_link(path).run_id == "abc"
    assert read_link(path).delivered == 0


@pytest.mark.parametrize("damage", [each for each in DAMAGES if each != "gone"])
def test_a_damaged_link_of_an_unknown_run_is_one_line(tmp_path, damage):
    path = tmp_path / "mlflow.json"
    path.write_text(DAMAGES[damage])
    with pytest.raises(PipelineError, match=r"mlflow\.json: ") as refusal:
        read_link(path)
    assert "\n" not in str(refusal.value)


def test_a_run_without_a_link_is_not_tracked(tmp_path):
    assert read_link(tmp_path / "mlflow.json") is None
