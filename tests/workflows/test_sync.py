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
    """Return a function that makes what a process leaves that was killed."""

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


def arrived(uri, run):
    return MlflowClient(tracking_uri=uri).get_run(read_link(run.tracking_path).run_id)


def test_a_run_whose_process_died_is_delivered_and_killed(make_dead_run, uri):
    run = make_dead_run()
    link = sync_run(run.path)
    assert link.run_id == read_link(run.tracking_path).run_id
    assert arrived(uri, run).info.status == "KILLED"
    assert arrived(uri, run).data.tags["failure"] == "the process died"
    assert arrived(uri, run).data.metrics == {"value": 1.0}


def test_a_run_that_has_ended_is_not_killed(make_dead_run, uri):
    run = make_dead_run()
    RunLog(run.run_log_path).log_status("FINISHED")
    sync_run(run.path)
    assert arrived(uri, run).info.status == "FINISHED"
    kinds = [event.kind for event in read_events(run.run_log_path)]
    assert kinds == ["metrics", FINISHED, "mlflow_run"]


@pytest.fixture
def read_only(monkeypatch):
    """Let no lock file be made, as in a directory that is read-only."""

    def refuse(lock, *_, **__):
        raise PermissionError(13, "Permission denied", lock.lock_file)

    return lambda: monkeypatch.setattr("filelock.FileLock.acquire", refuse)


def test_a_delivered_run_may_be_read_only(make_dead_run, read_only):
    run = make_dead_run()
    make_dead_run("run/folds/fold-1", parent_dir="../..")
    link = sync_run(run.path)
    read_only()
    assert sync_run(run.path).run_id == link.run_id


def test_an_undelivered_run_that_is_read_only_is_refused_in_one_line(make_dead_run, read_only):
    run = make_dead_run()
    read_only()
    with pytest.raises(RunError, match=r"cannot be written to \(Permission denied\)"):
        sync_run(run.path)


def test_sync_from_elsewhere_puts_artifacts_beside_the_database(
    make_dead_run, own_directory, monkeypatch
):
    run = make_dead_run()
    RunLog(run.run_log_path).log_artifacts(["config.yaml"])
    (own_directory / "elsewhere").mkdir()
    monkeypatch.chdir(own_directory / "elsewhere")
    sync_run(run.path)
    assert list((own_directory / "elsewhere").iterdir()) == []
    assert len(list((own_directory / "mlruns").rglob("config.yaml"))) == 1


def test_the_runs_that_are_nested_in_it_are_delivered_too(make_dead_run, uri):
    run = make_dead_run()
    fold = make_dead_run("run/folds/fold-1", parent_dir="../..")
    sync_run(run.path)
    assert arrived(uri, fold).info.status == "KILLED"
    parent_run_id = read_link(run.tracking_path).run_id
    assert arrived(uri, fold).data.tags["mlflow.parentRunId"] == parent_run_id


def test_a_store_that_is_gone_leaves_the_work_undone(make_dead_run):
    run = make_dead_run(tracking_uri="http://127.0.0.1:9")
    with pytest.raises(IncompleteError, match="MLflow does not have all of the run yet"):
        sync_run(run.path)


def test_a_run_that_was_not_tracked_is_refused(make_dead_run):
    run = make_dead_run()
    run.tracking_path.unlink()
    with pytest.raises(RunError, match="was not tracked"):
        sync_run(run.path)


def test_a_run_that_a_process_is_writing_to_is_left_alone(make_dead_run):
    run = make_dead_run()
    with run.locked(), pytest.raises(RunError, match="another process is writing"):
        sync_run(run.path)
    assert [event.kind for event in read_events(run.run_log_path)] == ["metrics"]


def test_a_nested_run_that_a_process_is_at_work_in_is_not_killed(make_dead_run, uri):
    run = make_dead_run()
    trial = make_dead_run("run/trials/trial-0000", parent_dir="../..")
    with trial.locked():  # by the worker of a search whose leader was killed
        sync_run(run.path)
        assert FINISHED not in [event.kind for event in read_events(trial.run_log_path)]
        assert arrived(uri, trial).info.status == "RUNNING"
    assert arrived(uri, run).info.status == "KILLED"
    sync_run(run.path)
    assert arrived(uri, trial).info.status == "KILLED"
