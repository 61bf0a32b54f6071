import pytest
from mlflow import MlflowClient

from pipeline.config.loading import write_config
from pipeline.core.errors import IncompleteError, RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import FINISHED, RunLog, read_events
from pipeline.tracking.run_link import Link, read_link, write_link
from pipeline.workflows.sync import sync_run

pytestmark = pytest.mark.slow


@pytest.fixture
def uri(own_directory):
    return f"sqlite:///{own_directory / 'mlflow.db'}"


@pytest.fixture
def make_dead_run(own_directory, make_config, uri):
    """Return a function that makes the run directory of a killed process."""

    def make(name="run", *, tracking_uri=uri, parent_dir=""):
        run = RunDirectory(own_directory / name)
        run.path.mkdir(parents=True)
        write_config(run.config_path, make_config())
        link = Link(
            tracking_uri=tracking_uri, experiment="ocean", run_name=name, parent_dir=parent_dir
        )
        write_link(run.tracking_path, link)
        RunLog(run.run_log_path).log_metrics({"value": 1.0})
        return run

    return make


def delivered(uri, run):
    return MlflowClient(tracking_uri=uri).get_run(read_link(run.tracking_path).run_id)


def kinds(run):
    return [event.kind for event in read_events(run.run_log_path)]


def make_read_only(monkeypatch):
    def fail(lock, *_, **__):
        raise PermissionError(13, "Permission denied", lock.lock_file)

    monkeypatch.setattr("filelock.FileLock.acquire", fail)


def test_a_run_without_a_process_is_delivered_as_killed(make_dead_run, uri):
    run = make_dead_run()
    link = sync_run(run.path)
    assert link.run_id == read_link(run.tracking_path).run_id
    assert delivered(uri, run).info.status == "KILLED"
    assert delivered(uri, run).data.tags["failure"] == "the process died"
    assert delivered(uri, run).data.metrics == {"value": 1.0}


def test_a_finished_run_keeps_its_status(make_dead_run, uri):
    run = make_dead_run()
    RunLog(run.run_log_path).log_status("FINISHED")
    sync_run(run.path)
    assert delivered(uri, run).info.status == "FINISHED"
    assert kinds(run) == ["metrics", FINISHED, "mlflow_run"]


def test_a_delivered_run_may_be_read_only(make_dead_run, monkeypatch):
    run = make_dead_run()
    make_dead_run("run/folds/fold-1", parent_dir="../..")
    link = sync_run(run.path)
    make_read_only(monkeypatch)
    assert sync_run(run.path).run_id == link.run_id


def test_artifacts_are_beside_the_database_from_any_directory(
    make_dead_run, own_directory, monkeypatch
):
    run = make_dead_run()
    RunLog(run.run_log_path).log_artifacts(["config.yaml"])
    (own_directory / "elsewhere").mkdir()
    monkeypatch.chdir(own_directory / "elsewhere")
    sync_run(run.path)
    assert list((own_directory / "elsewhere").iterdir()) == []
    assert len(list((own_directory / "mlruns").rglob("config.yaml"))) == 1


def test_nested_runs_are_delivered_too(make_dead_run, uri):
    run = make_dead_run()
    fold = make_dead_run("run/folds/fold-1", parent_dir="../..")
    sync_run(run.path)
    assert delivered(uri, fold).info.status == "KILLED"
    parent_run_id = read_link(run.tracking_path).run_id
    assert delivered(uri, fold).data.tags["mlflow.parentRunId"] == parent_run_id


def test_an_unreachable_store_leaves_the_run_incomplete(make_dead_run):
    run = make_dead_run(tracking_uri="http://127.0.0.1:9")
    with pytest.raises(IncompleteError, match="MLflow does not have the whole run yet"):
        sync_run(run.path)


def test_an_undelivered_read_only_run_is_an_error(make_dead_run, monkeypatch):
    run = make_dead_run()
    make_read_only(monkeypatch)
    with pytest.raises(RunError, match=r"cannot be written to \(Permission denied\)"):
        sync_run(run.path)


def test_a_run_without_tracking_is_an_error(make_dead_run):
    run = make_dead_run()
    run.tracking_path.unlink()
    with pytest.raises(RunError, match="was not tracked"):
        sync_run(run.path)


def test_a_run_with_a_live_process_is_not_changed(make_dead_run):
    run = make_dead_run()
    with run.locked(), pytest.raises(RunError, match="another process is writing"):
        sync_run(run.path)
    assert kinds(run) == ["metrics"]


def test_a_nested_run_with_a_live_process_is_not_killed(make_dead_run, uri):
    run = make_dead_run()
    trial = make_dead_run("run/trials/trial-0000", parent_dir="../..")
    with trial.locked():  # by a worker of a search whose main process was killed
        sync_run(run.path)
        assert FINISHED not in kinds(trial)
        assert delivered(uri, trial).info.status == "RUNNING"
    assert delivered(uri, run).info.status == "KILLED"
    sync_run(run.path)
    assert delivered(uri, trial).info.status == "KILLED"
