import pytest

from pipeline.core.errors import PipelineError, RunError
from pipeline.tracking.link import Link, new_link, read_link, write_link


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
        delivered=123,
    )
    write_link(tmp_path / "mlflow.json", link)
    assert read_link(tmp_path / "mlflow.json") == link


def test_a_run_without_a_link_is_not_tracked(tmp_path):
    assert read_link(tmp_path / "mlflow.json") is None


def test_a_link_with_an_unknown_entry_is_refused(tmp_path):
    path = tmp_path / "mlflow.json"
    path.write_text('{"tracking_uri": "x", "colour": "blue"}')
    with pytest.raises(RunError, match=r"mlflow\.json: is not the link that `train` writes"):
        read_link(path)


def test_a_torn_link_is_refused_with_its_name(tmp_path):
    path = tmp_path / "mlflow.json"
    path.write_text('{"tracking_uri": ')
    with pytest.raises(PipelineError, match=r"mlflow\.json"):
        read_link(path)
