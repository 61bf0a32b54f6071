import dataclasses
import logging
import shutil
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.exceptions import MlflowException

from pipeline.core.run_log import RunLog
from pipeline.tracking.delivery import DeliveryError, StoreUnavailableError
from pipeline.tracking.mirror import Mirror, deliver_rest
from pipeline.tracking.run_link import read_link, write_link


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def run_log(run):
    return RunLog(run.run_log_path)


def run_id_of(run):
    return read_link(run.tracking_path).run_id


def mlflow_run(client, run):
    return client.get_run(run_id_of(run))


def mlflow_runs(client):
    return client.search_runs([client.get_experiment_by_name("ocean").experiment_id])


def points(client, run, name):
    history = client.get_metric_history(run_id_of(run), name)
    return sorted((point.step, point.value) for point in history)


def fail_with(error):
    def fail(*_, **__):
        raise error

    return fail


def test_a_run_without_a_link_is_not_delivered(run, client):
    run.tracking_path.unlink()
    Mirror(run).deliver()
    assert client.get_experiment_by_name("ocean") is None


def test_runs_are_created_in_one_experiment_with_their_names(make_run, client):
    runs = [make_run(name, run_name=name) for name in ("one", "two")]
    for run in runs:
        Mirror(run).deliver()
    created = {each.info.run_id: each.info for each in mlflow_runs(client)}
    assert [created[run_id_of(run)].run_name for run in runs] == ["one", "two"]
    assert {each.status for each in created.values()} == {"RUNNING"}


@pytest.mark.parametrize(
    ("name", "tags", "start"),
    [
        ("mine", {}, "Models that predict"),
        ("mine", {"mlflow.note.content": "my notes"}, "my notes"),
        ("Default", {}, ""),
    ],
)
def test_an_experiment_without_a_description_gets_one(make_run, client, name, tags, start):
    experiment_id = "0" if name == "Default" else client.create_experiment(name, tags=tags)
    created = client.create_run(experiment_id)
    run = make_run(run_id=created.info.run_id)
    RunLog(run.run_log_path).log_params({"seed": 7})
    Mirror(run).deliver()
    found = client.get_experiment(experiment_id).tags.get("mlflow.note.content", "")
    assert found.startswith(start)
    assert bool(found) == bool(start)


def test_an_experiment_created_by_another_process_is_used(run, client, monkeypatch):
    experiment_id = client.create_experiment("ocean")
    find, calls = MlflowClient.get_experiment_by_name, []

    def find_late(self, name):
        calls.append(name)
        return find(self, name) if len(calls) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", find_late)
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.experiment_id == experiment_id


def test_all_kinds_of_events_are_delivered(run, run_log, client, log_epoch):
    for name in ("predictions/validation.csv", "logs/a.json", "config.yaml"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("text")
    run_log.log_params({"seed": 0, "model.fusion": "concat"})
    run_log.log_tags({"mlflow.note.content": "a note", "git.commit": "abc"})
    run_log.log_dataset(
        name="faces",
        digest="d" * 64,
        source="features",
        profile={},
        splits={"train": 8, "validation": 2},
    )
    run_log.log_artifacts(["config.yaml", "predictions/validation.csv", "logs", "missing.json"])
    log_epoch(run_log, 1)
    run_log.log_metrics({"evaluation/validation/mae/mean": 0.1})
    run_log.log_system_metrics({"system/cpu_percent": 50.0}, step=0)
    run_log.log_attention(1, {"traits": [0.5, None]})
    run_log.log_status("FINISHED")
    assert Mirror(run).deliver() is None

    delivered = mlflow_run(client, run)
    assert delivered.info.status == "FINISHED"
    assert delivered.data.params == {"seed": "0", "model.fusion": "concat"}
    assert {"mlflow.note.content": "a note", "git.commit": "abc"}.items() <= (
        delivered.data.tags.items()
    )
    subsets = {each.tags[0].value for each in delivered.inputs.dataset_inputs}
    assert subsets == {"train", "validation"}
    assert [step for step, _ in points(client, run, "step/loss")] == [1, 2, 3]
    expected = {
        "loss/val": (1, 2.0),
        "more/val/mae": (0, 0.1),
        "usage/cpu_percent": (0, 50.0),
    }
    assert {name: points(client, run, name) for name in expected} == {
        name: [point] for name, point in expected.items()
    }
    artifacts = {
        each.path
        for folder in (None, "predictions", "logs")
        for each in client.list_artifacts(delivered.info.run_id, folder)
    }
    assert artifacts == {
        *("config.yaml", "logs", "logs/a.json"),
        *("predictions", "predictions/validation.csv"),
    }


def test_a_second_delivery_sends_only_new_events(run, run_log, client, log_epoch):
    mirror = Mirror(run)
    for epoch in (1, 2):
        log_epoch(run_log, epoch)
        mirror.deliver()
    mirror.deliver()
    assert points(client, run, "loss/train") == [(1, 1.0), (2, 0.5)]
    assert len(points(client, run, "step/loss")) == 6


def test_an_interrupted_delivery_is_repeated_without_duplicates(
    run, run_log, client, log_epoch, monkeypatch
):
    for epoch in range(1, 41):
        log_epoch(run_log, epoch, num_steps=10)
    send, calls = MlflowClient.log_batch, []
    fail = fail_with(MlflowException("the server went down"))

    def send_once(self, *args, **kwargs):
        calls.append(1)
        return fail() if len(calls) > 1 else send(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", send_once)
        patch.setattr(MlflowClient, "get_run", fail)
        with pytest.raises(StoreUnavailableError, match="the server went down"):
            Mirror(run).deliver()
    assert 0 < len(points(client, run, "step/learning_rate")) < 400
    Mirror(run).deliver()
    assert len(points(client, run, "step/loss")) == 400
    assert len(points(client, run, "per_epoch/r2/val")) == 40


def test_the_stride_selects_the_same_steps_in_each_delivery(make_run, client, log_epoch):
    run = make_run(step_stride=4)
    run_log = RunLog(run.run_log_path)
    log_epoch(run_log, 1, num_steps=10)
    Mirror(run).deliver()
    log_epoch(run_log, 2, num_steps=10)
    assert deliver_rest(run) is None
    assert [step for step, _ in points(client, run, "step/loss")] == [4, 8, 12, 16, 20]


def test_the_run_of_mlflow_run_is_used_and_keeps_its_parameters(make_run, client):
    created = client.create_run("0", run_name="from mlflow run")
    client.log_batch(created.info.run_id, params=[Param("seed", "'7'")])
    run = make_run(run_id=created.info.run_id)
    RunLog(run.run_log_path).log_params({"seed": 7, "name": "x"})
    Mirror(run).deliver()
    assert mlflow_run(client, run).data.params == {"seed": "'7'", "name": "x"}
    assert mlflow_run(client, run).info.run_name == "from mlflow run"
    assert client.get_experiment_by_name("ocean") is None


def test_a_failed_run_has_its_reason_and_the_time_of_its_end(run, run_log, client):
    before = time.time_ns() // 1_000_000
    run_log.log_status("FAILED", reason="The loss became nan in epoch 2, step 7.")
    after = time.time_ns() // 1_000_000
    time.sleep(0.05)
    Mirror(run).deliver()
    failed = mlflow_run(client, run)
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure"] == "The loss became nan in epoch 2, step 7."
    assert before <= failed.info.end_time <= after


def test_a_resumed_run_is_running_and_has_no_failure(run, run_log, client):
    run_log.log_status("KILLED", reason="interrupted")
    Mirror(run).deliver()
    run_log.log_resumed(0, offset=0)
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.status == "RUNNING"
    assert "failure" not in mlflow_run(client, run).data.tags
    run_log.log_status("FINISHED")
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.status == "FINISHED"


def test_an_epoch_that_is_trained_again_is_delivered_once(run, run_log, client, log_epoch):
    log_epoch(run_log, 1)
    offset = run_log.size
    Mirror(run).deliver()
    log_epoch(run_log, 2, has_checkpoint=False)
    run_log.log_status("KILLED", reason="interrupted")
    Mirror(run).deliver()
    run_log.log_resumed(1, offset=offset)
    log_epoch(run_log, 2)
    Mirror(run).deliver()
    assert points(client, run, "loss/train") == [(1, 1.0), (2, 0.5)]
    assert [step for step, _ in points(client, run, "step/loss")] == list(range(1, 7))


def test_an_interrupt_between_a_checkpoint_and_its_event_loses_no_epoch(
    run, run_log, client, log_epoch
):
    log_epoch(run_log, 1, has_checkpoint=False)
    offset = run_log.size
    run_log.log_status("KILLED", reason="interrupted")
    Mirror(run).deliver()
    run_log.log_checkpoint(1)
    run_log.log_resumed(1, offset=offset)
    Mirror(run).deliver()
    assert points(client, run, "loss/train") == [(1, 1.0)]
    assert mlflow_run(client, run).info.status == "RUNNING"


def test_evaluation_metrics_of_a_resumed_run_are_delivered_once(run, run_log, client, log_epoch):
    log_epoch(run_log, 1, has_checkpoint=False)
    offset = run_log.size
    run_log.log_checkpoint(1)
    Mirror(run).deliver()
    run_log.log_metrics({"evaluation/validation/mae/mean": 0.1})
    Mirror(run).deliver()
    run_log.log_status("KILLED", reason="interrupted")
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.status == "KILLED"
    time.sleep(0.01)
    run_log.log_resumed(1, offset=offset)
    run_log.log_metrics({"evaluation/validation/mae/mean": 0.1})
    Mirror(run).deliver()
    run_log.log_status("FINISHED")
    Mirror(run).deliver()
    assert points(client, run, "more/val/mae") == [(0, 0.1)]
    assert points(client, run, "loss/train") == [(1, 1.0)]
    assert mlflow_run(client, run).info.status == "FINISHED"


def make_fold(make_run, name="fold-1"):
    return make_run(f"run/folds/{name}", parent_dir="../..", run_name=name)


def test_a_nested_run_is_in_the_experiment_of_its_parent(make_run, client):
    created = client.create_run("0")  # `mlflow run` has chosen the experiment
    make_run(run_id=created.info.run_id)
    fold = make_fold(make_run)
    Mirror(fold).deliver()
    nested = mlflow_run(client, fold)
    assert nested.data.tags["mlflow.parentRunId"] == created.info.run_id
    assert nested.info.experiment_id == "0"


def test_a_parent_is_created_before_its_nested_run(make_run, client):
    parent, fold = make_run(), make_fold(make_run)
    Mirror(fold).deliver()
    assert run_id_of(parent)
    assert mlflow_run(client, fold).data.tags["mlflow.parentRunId"] == run_id_of(parent)


def test_a_nested_run_waits_for_the_mlflow_run_of_its_parent(make_run, client):
    parent, fold = make_run(), make_fold(make_run)
    link = read_link(parent.tracking_path)
    parent.tracking_path.unlink()
    assert deliver_rest(fold) == f"{parent.path} has no MLflow run yet"
    write_link(parent.tracking_path, link)
    assert deliver_rest(fold) is None


def test_a_parent_delivers_its_nested_runs_except_a_deleted_run(make_run, client, log_epoch):
    parent = make_run()
    folds = [make_fold(make_run, name) for name in ("fold-1", "fold-2")]
    for epoch in (1, 2):
        for fold in folds:
            log_epoch(RunLog(fold.run_log_path), epoch)
        reason = deliver_rest(parent)
        if epoch == 1:
            assert reason is None
            client.delete_run(run_id_of(folds[0]))
    assert "was deleted" in reason
    assert [len(points(client, fold, "loss/train")) for fold in folds] == [1, 2]


def test_a_lost_link_causes_no_duplicates(run, run_log, client, log_epoch):
    log_epoch(run_log, 1)
    Mirror(run).deliver()
    run_id = run_id_of(run)
    run.tracking_path.unlink()
    log_epoch(run_log, 2)
    Mirror(run).deliver()
    assert run_id_of(run) == run_id
    assert points(client, run, "loss/train") == [(1, 1.0), (2, 0.5)]


def test_threads_that_deliver_the_same_run_create_it_once(run, client):
    threads = [threading.Thread(target=Mirror(run).deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(mlflow_runs(client)) == 1


@pytest.mark.parametrize(
    ("uri", "part"),
    [("http://127.0.0.1:9", "127.0.0.1"), ("mysql+pymysql://127.0.0.1/mlflow", "pymysql")],
)
def test_a_store_without_a_server_or_driver_is_reported_soon_in_one_line(
    uri, part, make_run, capfd, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    began = time.monotonic()
    reason = deliver_rest(make_run(tracking_uri=uri))
    assert time.monotonic() - began < 20
    assert part in reason
    assert "\n" not in reason
    assert capfd.readouterr().err == ""


def test_a_rejected_file_delays_no_other_event_and_is_sent_again(run, run_log, client, monkeypatch):
    class CloudError(Exception):
        """An error of an unknown library."""

    (run.path / "config.yaml").write_text("seed: 0\n")
    run_log.log_artifacts(["config.yaml"])
    run_log.log_metrics({"value": 1.0})
    run_log.log_status("FINISHED")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", fail_with(CloudError("no credentials")))
        assert deliver_rest(run) == "MLflow rejected config.yaml (no credentials)"
    delivered = mlflow_run(client, run)
    assert (delivered.info.status, delivered.data.metrics) == ("FINISHED", {"value": 1.0})
    assert deliver_rest(run) is None
    assert [each.path for each in client.list_artifacts(run_id_of(run))] == ["config.yaml"]
    assert read_link(run.tracking_path).refused == {}


def test_a_rejected_file_whose_next_upload_is_killed_stays_rejected(run, run_log, monkeypatch):
    def die(*_, **__):
        raise KeyboardInterrupt

    (run.path / "config.yaml").write_text("seed: 0\n")
    run_log.log_artifacts(["config.yaml"])
    run_log.log_status("FINISHED")
    monkeypatch.setattr(MlflowClient, "log_artifact", fail_with(OSError("not now")))
    deliver_rest(run)
    rejected = read_link(run.tracking_path).refused
    monkeypatch.setattr(MlflowClient, "log_artifact", die)
    with pytest.raises(KeyboardInterrupt):
        Mirror(run).deliver(retries_rejected=True)
    assert read_link(run.tracking_path).refused == rejected != {}


@pytest.mark.parametrize("location", ["s3://bucket/runs", "/proc/no/place"])
def test_an_unusable_artifact_location_loses_no_metric(
    location, run, run_log, client, log_epoch, monkeypatch
):
    monkeypatch.setitem(sys.modules, "boto3", None)
    client.create_experiment("ocean", artifact_location=location)
    (run.path / "config.yaml").write_text("seed: 0\n")
    run_log.log_artifacts(["config.yaml"])
    log_epoch(run_log, 1)
    run_log.log_status("FINISHED")
    assert deliver_rest(run).startswith("MLflow rejected config.yaml")
    delivered = mlflow_run(client, run)
    assert (delivered.info.status, delivered.data.metrics["loss/train"]) == ("FINISHED", 1.0)


def test_a_rejection_is_logged_once_per_reason(run, run_log, client, caplog, monkeypatch):
    error = ImportError("No module named 'boto3'")
    monkeypatch.setattr(MlflowClient, "log_artifact", fail_with(error))
    for name in ("config.yaml", "split.csv"):
        (run.path / name).write_text("")
        run_log.log_artifacts([name])
    with caplog.at_level(logging.WARNING):
        reason = Mirror(run, warns=True).deliver()
    assert reason == "MLflow rejected config.yaml (No module named 'boto3'), and 1 more"
    (record,) = caplog.records
    assert "config.yaml" in record.getMessage()


@pytest.mark.parametrize(
    ("kind", "number", "key", "value"),
    [
        ("metrics", 40, "no%good", 1.0),
        ("params", 150, "k" * 300, "x"),
        ("tags", 150, "k" * 300, "x"),
    ],
)
def test_all_other_items_of_a_rejected_batch_are_delivered(
    kind, number, key, value, run, run_log, client
):
    items = {f"name.{index}": value for index in range(number)}
    log = {
        "metrics": run_log.log_metrics,
        "params": run_log.log_params,
        "tags": run_log.log_tags,
    }[kind]
    log({**items, key: value})
    run_log.log_status("FINISHED")
    assert deliver_rest(run).startswith(f"MLflow rejected {key}")
    delivered = mlflow_run(client, run)
    assert items.items() <= getattr(delivered.data, kind).items()
    assert delivered.info.status == "FINISHED"


def test_a_store_that_rejects_everything_gets_few_calls(run, run_log, client, monkeypatch):
    calls = []

    def fail(*_, **__):
        calls.append(1)
        raise MlflowException("broken")

    monkeypatch.setattr(MlflowClient, "log_batch", fail)
    run_log.log_metrics({f"value/{n}": 1.0 for n in range(900)})
    assert deliver_rest(run) == "broken"
    assert len(calls) < 200
    assert read_link(run.tracking_path).delivered == 0


def test_a_deleted_mlflow_run_is_reported_with_the_fix(run, run_log, client):
    Mirror(run).deliver()
    run_id = run_id_of(run)
    client.delete_run(run_id)
    run_log.log_metrics({"value": 1.0})
    assert f"mlflow runs restore --run-id {run_id}" in deliver_rest(run)
    client.restore_run(run_id)
    assert deliver_rest(run) is None
    assert mlflow_run(client, run).data.metrics == {"value": 1.0}


def test_a_run_is_found_again_if_the_reply_to_its_creation_is_lost(run, client, monkeypatch):
    create = MlflowClient.create_run

    def create_and_lose(self, *args, **kwargs):
        create(self, *args, **kwargs)
        raise MlflowException("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", create_and_lose)
        assert deliver_rest(run) == "connection reset"
    assert deliver_rest(run) is None
    (created,) = mlflow_runs(client)
    assert created.info.run_id == run_id_of(run)


def test_an_empty_answer_of_a_proxy_counts_as_no_delivery(run, run_log, monkeypatch):
    run_log.log_metrics({"value": 1.0})
    created = SimpleNamespace(info=SimpleNamespace(run_id=""))
    monkeypatch.setattr(MlflowClient, "create_run", lambda *_, **__: created)
    assert "does not answer like MLflow" in deliver_rest(run)
    assert read_link(run.tracking_path).delivered == 0


def test_a_full_disk_is_no_outage_and_creates_no_second_run(run, client, monkeypatch):
    def fill(path, link):
        if link.run_id:
            raise OSError(28, "No space left on device", str(path))
        write_link(path, link)

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.tracking.mirror.write_link", fill)
        for _ in range(2):
            with pytest.raises(DeliveryError, match="No space left on device") as error:
                Mirror(run).deliver()
            assert not isinstance(error.value, StoreUnavailableError)
    assert deliver_rest(run) is None
    assert len(mlflow_runs(client)) == 1


def test_a_damaged_run_id_is_corrected_from_the_run_log(run, run_log, client, log_epoch):
    log_epoch(run_log, 1)
    Mirror(run).deliver()
    link = read_link(run.tracking_path)
    write_link(run.tracking_path, dataclasses.replace(link, run_id=f"x{link.run_id[1:]}"))
    run_log.log_status("FINISHED")
    assert deliver_rest(run) is None
    assert read_link(run.tracking_path).run_id == link.run_id
    assert client.get_run(link.run_id).info.status == "FINISHED"


@pytest.mark.parametrize("has_new_log", [False, True])
def test_a_run_whose_directory_is_removed_has_failed(has_new_log, run, run_log, client, log_epoch):
    mirror = Mirror(run)
    log_epoch(run_log, 1)
    mirror.deliver()
    run_id = run_id_of(run)
    shutil.rmtree(run.path)
    if has_new_log:
        RunLog(run.run_log_path).log_metrics({})
    for _ in range(2):
        with pytest.raises(DeliveryError, match="was removed"):
            mirror.deliver()
    ended = client.get_run(run_id)
    assert ended.info.status == "FAILED"
    assert "was removed" in ended.data.tags["failure"]


def test_a_run_whose_directory_is_removed_during_its_upload_has_failed(
    run, run_log, client, log_epoch, monkeypatch
):
    def remove(*_, **__):
        shutil.rmtree(run.path)
        raise FileNotFoundError("model.keras")

    mirror = Mirror(run)
    log_epoch(run_log, 1)
    mirror.deliver()
    run_id = run_id_of(run)
    monkeypatch.setattr("pipeline.tracking.send_events.log_model", remove)
    run_log.log_model(registered_model="", alias="")
    run_log.log_status("FINISHED")
    with pytest.raises(DeliveryError, match="was removed"):
        mirror.deliver()
    assert client.get_run(run_id).info.status == "FAILED"


def test_the_wait_for_a_store_that_hangs_is_limited(run, hanging_store):
    began = time.monotonic()
    assert deliver_rest(run, seconds=0.2) == "no answer within 0.2 s"
    assert time.monotonic() - began < 10


def test_a_rejected_status_of_a_resumed_run_is_not_sent_again(run, run_log, client, monkeypatch):
    run_log.log_status("KILLED", reason="interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", fail_with(MlflowException("not now")))
        assert deliver_rest(run) == "MLflow rejected the status (not now)"
    run_log.log_resumed(0, offset=0)
    run_log.log_status("FINISHED")
    assert deliver_rest(run) is None
    assert mlflow_run(client, run).info.status == "FINISHED"
    assert read_link(run.tracking_path).refused == {}
