import mlflow
import pytest

from pipeline.tracking.project_run import fill_run, has_given_name


@pytest.fixture(autouse=True)
def store(store_uri):
    mlflow.set_tracking_uri(store_uri)


@pytest.fixture
def run_id(client):
    return client.create_run("0", run_name="abundant-shad-446").info.run_id


def test_mlflow_generates_names_that_are_recognized(client):
    run_id = client.create_run("0").info.run_id
    assert not has_given_name(run_id)


@pytest.mark.parametrize("name", ["my-run-1", "abundant-shad-final", "abundant", "a b"])
def test_other_names_are_given_by_the_user(client, name):
    assert has_given_name(client.create_run("0", run_name=name).info.run_id)


def test_a_command_fills_its_run(client, run_id, tmp_path):
    (tmp_path / "scores.csv").write_text("clip_id\n")
    problem = fill_run(
        run_id,
        name="evaluate demo on test",
        description="**R² 0.5**",
        metrics={"evaluation/test/r2/mean": 0.5, "evaluation/test/mse/openness": 0.1},
        paths=[tmp_path / "scores.csv", tmp_path / "missing.csv"],
    )
    assert problem is None
    run = client.get_run(run_id)
    assert run.info.run_name == "evaluate demo on test"
    assert run.data.tags["mlflow.note.content"] == "**R² 0.5**"
    assert run.data.metrics == {"eval/test/r2": 0.5}
    assert [each.path for each in client.list_artifacts(run_id)] == ["scores.csv"]


def test_a_command_keeps_the_name_that_the_user_has_given(client):
    run_id = client.create_run("0", run_name="final numbers").info.run_id
    fill_run(run_id, name="evaluate demo on test", description="", metrics={}, paths=[])
    assert client.get_run(run_id).info.run_name == "final numbers"
