import dataclasses

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.run_log import RunLog
from pipeline.tracking.run_link import Link, new_link, note_link, read_link, write_link

LINK = Link(
    tracking_uri="http://me:s3cret@store",
    experiment="ocean",
    run_name="first",
    run_id="abc",
    parent_dir="../..",
    step_stride=7,
    experiment_id="3",
)


def make_link(**settings):
    return new_link(tracking_uri="http://store", experiment="ocean", run_name="first", **settings)


@pytest.mark.parametrize(
    ("environment", "run_id", "experiment_id"),
    [
        ({}, "", ""),
        ({"MLFLOW_EXPERIMENT_ID": "3"}, "", "3"),
        ({"MLFLOW_EXPERIMENT_ID": "3", "MLFLOW_EXPERIMENT_NAME": "x"}, "", ""),
        ({"MLFLOW_EXPERIMENT_ID": "3", "MLFLOW_RUN_ID": "abc"}, "abc", ""),
    ],
)
def test_a_new_link_has_the_ids_of_mlflow_run_once(monkeypatch, environment, run_id, experiment_id):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    nested = make_link(parent_dir="../..")
    assert (nested.run_id, nested.experiment_id) == ("", "")
    link = make_link()
    assert (link.run_id, link.experiment_id) == (run_id, experiment_id)
    assert make_link().run_id == ""


def test_a_link_is_read_as_it_was_written_without_its_password(tmp_path):
    path = tmp_path / "mlflow.json"
    assert read_link(path) is None
    for write in (write_link, note_link):
        write(path, LINK)
        assert read_link(path) == dataclasses.replace(LINK, tracking_uri="http://me:***@store")
        assert "s3cret" not in "".join(each.read_text() for each in tmp_path.iterdir())


DAMAGES = {
    "missing": None,
    "empty": "",
    "cut": '{"tracking_uri": ',
    "list": "[]",
    "unknown key": '{"colour": "blue"}',
    "wrong type": '{"tracking_uri": 1, "experiment": "x", "run_name": "y"}',
    "stride": '{"tracking_uri": "u", "experiment": "x", "run_name": "y", "step_stride": 0}',
    "no line end": '{"tracking_uri": "u", "experiment": "x", "run_name": "y", "delivered": 7}',
    "beyond the end": '{"tracking_uri": "u", "experiment": "x", "run_name": "y", "delivered": 999}',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_link_is_recovered_from_the_run_log_or_is_an_error(tmp_path, damage):
    content = DAMAGES[damage]
    path = tmp_path / "mlflow.json"
    if content is not None:
        path.write_text(content)
        with pytest.raises(PipelineError, match=r"mlflow\.json: ") as error:
            read_link(path)
        assert "\n" not in str(error.value)
    RunLog(tmp_path / "events.jsonl").log_params({})
    note_link(path, LINK)
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert (read_link(path).run_id, read_link(path).delivered) == ("abc", 0)
