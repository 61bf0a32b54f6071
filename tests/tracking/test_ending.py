"""The run of a process that is gone is ended from elsewhere."""

import pytest

from pipeline.tracking.existing_runs import end_run


@pytest.fixture
def run_id(client, store_uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    import mlflow

    mlflow.set_tracking_uri(store_uri)
    yield client.create_run(client.create_experiment("x")).info.run_id
    mlflow.set_tracking_uri(None)


def test_a_run_that_is_running_is_ended_with_the_reason(client, run_id):
    assert end_run(run_id, status="KILLED", reason="its worker died")
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["failure"] == "its worker died"


def test_a_run_that_has_ended_stays_as_it_is(client, run_id):
    client.set_terminated(run_id, status="FINISHED")
    assert end_run(run_id, status="KILLED", reason="late")
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_store_that_does_not_know_the_run_is_told(client, run_id):
    assert not end_run("0" * 32, status="KILLED", reason="unknown")
