import json

import pytest
from mlflow import MlflowClient

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_events, read_last_status
from pipeline.tracking.run_link import read_link
from pipeline.workflows.session import open_session, with_run_name


@pytest.fixture
def run(own_directory):
    directory = RunDirectory(own_directory / "run")
    directory.path.mkdir()
    return directory


def kinds(run):
    return [event.kind for event in read_events(run.run_log_path)]


def test_a_session_tells_first_what_the_run_is_and_last_how_it_ended(run, make_config):
    with open_session(run, make_config(seed=7), num_steps=1) as session:
        session.run_log.log_metrics({})
    assert kinds(run) == ["params", "tags", "artifacts", "metrics", "finished"]
    assert next(read_events(run.run_log_path)).content["params"]["config.seed"] == 7
    assert json.loads(run.environment_path.read_text())["packages"]["keras"]


def test_what_the_run_is_is_not_told_again_when_it_is_resumed(run, make_config):
    for _ in range(2):
        with open_session(run, make_config(), num_steps=1):
            pass
    assert kinds(run) == ["params", "tags", "artifacts", "finished", "finished"]


def test_what_a_kill_kept_a_session_from_telling_is_told_by_the_next(run, make_config):
    RunLog(run.run_log_path).log_params({})
    with open_session(run, make_config(), num_steps=1):
        pass
    assert kinds(run) == ["params", "params", "tags", "artifacts", "finished"]
    assert run.environment_path.exists()


def test_what_a_kill_left_half_written_is_gone_and_nothing_else(run, make_config):
    names = {
        "figures/.loss.png.0a1b2c3d.png": False,
        "figures/loss.png": True,
        "figures/.hidden": True,
        ".mlflow.json.0a1b2c3d.json": False,
        ".notes": True,
        "checkpoints/epoch-1/.state.json.0a1b2c3d.json": False,
        "folds/fold-1/.state.json.0a1b2c3d.json": True,  # of a run that another may be at
    }
    for name in names:
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("")
    with open_session(run, make_config(), num_steps=1):
        pass
    assert {name: (run.path / name).exists() for name in names} == names


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("first line\nsecond line"), "FAILED", "first line"),
        (MemoryError(), "FAILED", "MemoryError"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ],
)
def test_an_error_ends_the_run_and_goes_on(error, status, reason, run, make_config):
    with (
        pytest.raises(type(error)),
        open_session(run, make_config(), num_steps=1),
    ):
        raise error
    last = list(read_events(run.run_log_path))[-1]
    assert (last.content["status"], last.content["reason"]) == (status, reason)
    assert read_last_status(run) == status


def test_a_run_that_is_not_tracked_knows_no_store(run, make_config, own_directory):
    with open_session(run, make_config(), num_steps=1) as session:
        session.wake_mirror()
    assert read_link(run.tracking_path) is None
    assert not (own_directory / "mlflow.db").exists()


def test_two_sessions_cannot_write_to_one_run(run, make_config):
    config = make_config()
    with (
        open_session(run, config, num_steps=1),
        pytest.raises(RunError, match="another process is writing"),
        open_session(run, config, num_steps=1),
    ):
        pass


def test_a_failed_run_is_failed_in_mlflow_with_its_reason(run, make_config, own_directory):
    config = with_run_name(make_config(tracking__enabled=True), "doomed")

    def fail():
        with open_session(run, config, num_steps=1):
            raise ValueError("no clip is left")

    with pytest.raises(ValueError, match="no clip is left"):
        fail()
    client = MlflowClient(tracking_uri=f"sqlite:///{own_directory / 'mlflow.db'}")
    arrived = client.get_run(read_link(run.tracking_path).run_id)
    assert (arrived.info.run_name, arrived.info.status) == ("doomed", "FAILED")
    assert arrived.data.tags["failure"] == "no clip is left"


def test_mlflow_runs_are_made_where_the_environment_says(
    run, make_config, own_directory, monkeypatch
):
    client = MlflowClient(tracking_uri=f"sqlite:///{own_directory / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("team"))
    with open_session(run, make_config(tracking__enabled=True), num_steps=1):
        pass
    link = read_link(run.tracking_path)
    assert client.get_run(link.run_id).info.experiment_id == link.experiment_id
    assert client.get_experiment(link.experiment_id).name == "team"


@pytest.mark.parametrize(("run_name", "expected"), [("", "spiffy-cat-241"), ("mine", "mine")])
def test_a_run_of_mlflow_run_is_renamed_only_if_a_name_is_given(
    run, make_config, own_directory, monkeypatch, run_name, expected
):
    client = MlflowClient(tracking_uri=f"sqlite:///{own_directory / 'mlflow.db'}")
    made = client.create_run("0", run_name="spiffy-cat-241").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", made)
    with open_session(
        run, with_run_name(make_config(tracking__enabled=True), run_name), num_steps=1
    ):
        pass
    assert client.get_run(made).info.run_name == expected
    assert kinds(run)[1] == "params"  # the first is the MLflow run


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_resumed_run_without_its_link_goes_on_in_its_mlflow_run(
    run, make_config, own_directory, damage
):
    config = make_config(tracking__enabled=True)
    with open_session(run, config, num_steps=1):
        pass
    before = read_link(run.tracking_path).run_id
    if damage == "gone":
        run.tracking_path.unlink()
    else:
        run.tracking_path.write_bytes(run.tracking_path.read_bytes()[:40])
    with open_session(run, config, num_steps=1) as session:
        session.run_log.log_metrics({"x": 1.0})
    client = MlflowClient(tracking_uri=f"sqlite:///{own_directory / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ocean").experiment_id
    (found,) = client.search_runs([experiment])
    assert (found.info.run_id, found.info.status) == (before, "FINISHED")
    assert found.data.metrics == {"x": 1.0}


@pytest.mark.parametrize("name", ["job%41", "a%20b", "a?b", "a#b"])
def test_artifacts_are_beside_the_database_of_an_odd_directory(
    make_config, own_directory, monkeypatch, name
):
    directory = own_directory / name
    directory.mkdir()
    monkeypatch.chdir(directory)
    run = RunDirectory(directory / "run")
    run.path.mkdir()
    run.config_path.write_text("")
    with open_session(run, make_config(tracking__enabled=True), num_steps=1):
        pass
    link = read_link(run.tracking_path)
    client = MlflowClient(tracking_uri=link.tracking_uri)
    assert {each.path for each in client.list_artifacts(link.run_id)} == {
        "config.yaml",
        "environment.json",
    }
    assert len(list((directory / "mlruns").rglob("environment.json"))) == 1
    assert [path.name for path in own_directory.iterdir()] == [name]


@pytest.mark.parametrize(("num_steps", "stride"), [(1, 1), (2000, 1), (2001, 2), (100_000, 50)])
def test_mlflow_is_sent_two_thousand_steps_at_the_most(
    num_steps, stride, run, make_config, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("pipeline.tracking.mirror.open_store", _no_store)
    with open_session(run, make_config(tracking__enabled=True), num_steps=num_steps):
        pass
    link = read_link(run.tracking_path)
    assert link.step_stride == stride
    assert link.tracking_uri == "http://127.0.0.1:9"


def test_a_nested_run_knows_where_its_parent_is(run, make_config, monkeypatch):
    monkeypatch.setattr("pipeline.tracking.mirror.open_store", _no_store)
    fold = RunDirectory(run.folds_dir / "fold-1")
    fold.path.mkdir(parents=True)
    config = make_config(tracking__enabled=True)
    with (
        open_session(run, config, num_steps=1),
        open_session(fold, config, num_steps=1, parent=run),
    ):
        pass
    parent_dir = read_link(fold.tracking_path).parent_dir
    assert (fold.path / parent_dir).resolve() == run.path


def _no_store(uri):
    raise ConnectionError(uri)
