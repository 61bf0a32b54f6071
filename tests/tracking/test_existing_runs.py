import mlflow
import pytest

from pipeline.core.errors import RunError
from pipeline.tracking.existing_runs import (
    download_model,
    download_run,
    end_run,
    experiment_of_run,
    find_runs,
    local_run_directory,
    model_of_run,
)
from pipeline.tracking.run_link import Link, write_link


@pytest.fixture(autouse=True)
def store(store_uri):
    mlflow.set_tracking_uri(store_uri)


@pytest.fixture
def run_id(client):
    return client.create_run(client.create_experiment("x")).info.run_id


def test_a_running_run_is_ended_with_the_reason(client, run_id):
    end_run(run_id, status="KILLED", reason="its worker died")
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["failure"] == "its worker died"


def test_the_status_of_an_ended_run_does_not_change(client, run_id):
    client.set_terminated(run_id, status="FINISHED")
    end_run(run_id, status="KILLED", reason="late")
    end_run("0" * 32, status="KILLED", reason="unknown")
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_run_has_the_name_of_its_experiment(run_id):
    assert experiment_of_run(run_id) == "x"
    assert experiment_of_run("0" * 32) is None


def test_the_artifacts_of_a_run_are_downloaded(client, run_id, tmp_path):
    client.log_text(run_id, "seed: 0\n", "config.yaml")
    directory = download_run(run_id, tmp_path / "new" / "copy")
    assert (directory / "config.yaml").read_text() == "seed: 0\n"
    with pytest.raises(RunError, match="0000: the artifacts of this run cannot be downloaded"):
        download_run("0" * 32, tmp_path)


@pytest.fixture
def experiment(client):
    """An experiment with two training runs and runs of other kinds; returns name -> run id."""
    experiment_id = client.create_experiment("ocean")
    kinds = {
        "second": {"start_time": 2, "tags": {"best_epoch": "3"}},
        "first": {"start_time": 1, "tags": {"best_epoch": "0"}},
        "fold": {"tags": {"best_epoch": "1", "mlflow.parentRunId": "1" * 32}},
        "search": {"tags": {"kind": "study"}},
        "summary": {"tags": {"kind": "summary"}},
        "failed": {"tags": {"best_epoch": "1"}},
    }
    ids = {}
    for name, options in kinds.items():
        ids[name] = client.create_run(experiment_id, run_name=name, **options).info.run_id
        client.set_terminated(ids[name], "FAILED" if name == "failed" else "FINISHED")
    return ids


def test_finished_training_runs_of_an_experiment_are_found_from_first_to_last(experiment):
    found = find_runs("ocean")
    assert found == [experiment["first"], experiment["second"]]
    assert find_runs("ocean", "attributes.run_name = 'first'") == [experiment["first"]]


@pytest.mark.parametrize(
    ("name", "filter_string", "message"),
    [
        ("oceans", "", "experiment 'oceans': does not exist in sqlite"),
        ("ocean", "params.x='", "the runs cannot be read .*Check --filter"),
        (
            "ocean",
            "params.x = 'y'",
            "must have finished training runs that match \"params.x = 'y'\"",
        ),
    ],
)
def test_runs_that_cannot_be_found_are_an_error(experiment, name, filter_string, message):
    with pytest.raises(RunError, match=message):
        find_runs(name, filter_string)


@pytest.mark.parametrize(("linked", "is_found"), [(True, True), (False, False)])
def test_a_run_directory_is_found_if_it_belongs_to_the_run(
    client, run_id, tmp_path, linked, is_found
):
    client.set_tag(run_id, "run_dir", str(tmp_path))
    link = Link(tracking_uri="", experiment="x", run_name="", run_id=run_id if linked else "other")
    write_link(tmp_path / "mlflow.json", link)
    assert local_run_directory(run_id) == (tmp_path if is_found else None)


def test_a_run_without_a_directory_on_this_machine_has_none(client, run_id):
    assert local_run_directory(run_id) is None
    client.set_tag(run_id, "run_dir", "/on/another/machine")
    assert local_run_directory(run_id) is None
    with pytest.raises(RunError, match="not reachable"):
        local_run_directory("0" * 32)


@pytest.mark.parametrize("uri", ["models:/nobody/1", "runs:/0123/model", "no_such_directory"])
def test_a_missing_model_is_an_error(uri):
    with pytest.raises(RunError, match=f"{uri}: the model cannot be downloaded"):
        download_model(uri)


def test_a_model_from_another_program_is_an_error(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "MLmodel").write_text("{}")
    with pytest.raises(RunError, match=r"contains no \.keras file"):
        download_model(str(other))


def test_a_run_without_a_model_is_an_error(run_id):
    with pytest.raises(RunError, match="has no model"):
        model_of_run(run_id)
    with pytest.raises(RunError, match="not reachable"):
        model_of_run("0" * 32)
