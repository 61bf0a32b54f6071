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

from pipeline.core.journal import CHECKPOINT, FINISHED, RESUMED, Journal
from pipeline.tracking.link import read_link, write_link
from pipeline.tracking.mirror import (
    DeliveryError,
    Mirror,
    StoreUnavailableError,
    deliver_rest,
)


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def journal(run):
    return Journal(run.journal_path)


def mlflow_run(client, run):
    return client.get_run(read_link(run.tracking_path).run_id)


def points(client, run, name):
    history = client.get_metric_history(read_link(run.tracking_path).run_id, name)
    return sorted((point.step, point.value) for point in history)


def finish(journal, status="FINISHED", **content):
    journal.append(FINISHED, status=status, **content)


def test_a_run_that_is_not_tracked_is_left_alone(run, client):
    run.tracking_path.unlink()
    Mirror(run).deliver()
    assert client.search_experiments(filter_string="name = 'ocean'") == []


def test_the_run_is_made_in_its_experiment_under_its_name(run, client):
    Mirror(run).deliver()
    (made,) = client.search_runs([client.get_experiment_by_name("ocean").experiment_id])
    assert made.info.run_name == "first"
    assert made.info.status == "RUNNING"
    assert made.info.run_id == read_link(run.tracking_path).run_id


def test_runs_of_one_experiment_share_it(make_run, client):
    for name in ("one", "two"):
        Mirror(make_run(name)).deliver()
    experiment = client.get_experiment_by_name("ocean")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_an_experiment_that_another_process_makes_meanwhile_is_used(run, client, monkeypatch):
    experiment_id = client.create_experiment("ocean")
    find, calls = MlflowClient.get_experiment_by_name, []

    def find_late(self, name):
        calls.append(name)
        return find(self, name) if len(calls) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", find_late)
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.experiment_id == experiment_id


def test_every_kind_of_event_arrives(run, journal, client, tell_epoch):
    (run.path / "predictions").mkdir()
    (run.path / "predictions" / "validation.csv").write_text("clip_id\n")
    (run.path / "logs").mkdir()
    (run.path / "logs" / "a.json").write_text("{}")
    (run.path / "config.yaml").write_text("seed: 0\n")
    journal.append("params", params={"config.seed": 0, "config.model.fusion": "concat"})
    journal.append("tags", tags={"mlflow.note.content": "what it is for", "git.commit": "abc"})
    journal.append(
        "dataset",
        name="faces",
        digest="d" * 64,
        source="features",
        profile={},
        splits={"train": 8, "validation": 2},
    )
    journal.append("artifacts", paths=["config.yaml", "predictions/validation.csv", "logs"])
    tell_epoch(journal, 1)
    journal.append("metrics", step=0, metrics={"evaluation/validation/mae/mean": 0.1})
    journal.append("system", step=0, metrics={"system/cpu_utilization_percentage": 50.0})
    finish(journal)
    Mirror(run).deliver()

    arrived = mlflow_run(client, run)
    assert arrived.data.params == {"config.seed": "0", "config.model.fusion": "concat"}
    assert arrived.data.tags["mlflow.note.content"] == "what it is for"
    assert arrived.data.tags["git.commit"] == "abc"
    roles = {each.tags[0].value for each in arrived.inputs.dataset_inputs}
    assert roles == {"train", "validation"}
    assert points(client, run, "validation/loss") == [(1, 2.0)]
    assert [step for step, _ in points(client, run, "batch/loss")] == [1, 2, 3]
    assert points(client, run, "evaluation/validation/mae/mean") == [(0, 0.1)]
    assert points(client, run, "system/cpu_utilization_percentage") == [(0, 50.0)]
    run_id = arrived.info.run_id
    assert {each.path for each in client.list_artifacts(run_id)} == {
        "config.yaml",
        "logs",
        "predictions",
    }
    assert [each.path for each in client.list_artifacts(run_id, "predictions")] == [
        "predictions/validation.csv"
    ]
    assert arrived.info.status == "FINISHED"


def test_a_second_delivery_sends_what_is_new_and_nothing_twice(run, journal, client, tell_epoch):
    mirror = Mirror(run)
    tell_epoch(journal, 1)
    mirror.deliver()
    tell_epoch(journal, 2)
    mirror.deliver()
    mirror.deliver()
    assert points(client, run, "train/loss") == [(1, 1.0), (2, 0.5)]
    assert len(points(client, run, "batch/loss")) == 6


def test_a_delivery_that_was_cut_off_is_repeated_without_doubling_a_point(
    run, journal, client, tell_epoch, monkeypatch
):
    for epoch in range(1, 41):
        tell_epoch(journal, epoch, num_steps=10)
    send, calls = MlflowClient.log_batch, []

    def fail(*_, **__):
        raise MlflowException("the server went down")

    def send_once(self, *args, **kwargs):
        calls.append(1)
        return fail() if len(calls) > 1 else send(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", send_once)
        patch.setattr(MlflowClient, "get_run", fail)
        with pytest.raises(StoreUnavailableError, match="the server went down"):
            Mirror(run).deliver()
    assert 0 < len(points(client, run, "batch/loss")) < 400
    Mirror(run).deliver()
    assert len(points(client, run, "batch/loss")) == 400
    assert len(points(client, run, "validation/r2/openness")) == 40


def test_a_stride_thins_out_steps_however_they_are_delivered(make_run, client, tell_epoch):
    run = make_run(step_stride=4)
    journal = Journal(run.journal_path)
    tell_epoch(journal, 1, num_steps=10)
    Mirror(run).deliver()
    tell_epoch(journal, 2, num_steps=10)
    assert deliver_rest(run) is None
    assert [step for step, _ in points(client, run, "batch/loss")] == [4, 8, 12, 16, 20]


def test_a_run_that_mlflow_run_made_is_used_and_its_parameters_are_kept(make_run, client):
    made = client.create_run("0", run_name="made by mlflow run")
    client.log_batch(made.info.run_id, params=[Param("config.seed", "'7'")])
    run = make_run(run_id=made.info.run_id)
    Journal(run.journal_path).append("params", params={"config.seed": 7, "config.name": "x"})
    Mirror(run).deliver()
    assert mlflow_run(client, run).data.params == {"config.seed": "'7'", "config.name": "x"}
    assert mlflow_run(client, run).info.run_name == "made by mlflow run"
    assert client.get_experiment_by_name("ocean") is None


def test_a_run_that_failed_says_why(run, journal, client):
    finish(journal, "FAILED", reason="The loss became nan in epoch 2, step 7.")
    Mirror(run).deliver()
    failed = mlflow_run(client, run)
    assert failed.info.status == "FAILED"
    assert failed.data.tags["failure"] == "The loss became nan in epoch 2, step 7."


def test_a_run_ends_when_it_ended_and_not_when_that_was_delivered(run, journal, client):
    before = time.time_ns() // 1_000_000
    finish(journal)
    after = time.time_ns() // 1_000_000
    time.sleep(0.05)
    Mirror(run).deliver()
    assert before <= mlflow_run(client, run).info.end_time <= after


def test_a_run_that_is_resumed_runs_again_and_has_not_failed(run, journal, client):
    finish(journal, "KILLED", reason="interrupted")
    Mirror(run).deliver()
    journal.append(RESUMED, epoch=0, offset=0)
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.status == "RUNNING"
    assert "failure" not in mlflow_run(client, run).data.tags
    finish(journal)
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.status == "FINISHED"


def test_an_epoch_that_is_trained_again_arrives_once(run, journal, client, tell_epoch):
    tell_epoch(journal, 1)
    checkpointed = journal.size
    Mirror(run).deliver()
    tell_epoch(journal, 2, committed=False)
    finish(journal, "KILLED", reason="interrupted")
    Mirror(run).deliver()
    journal.append(RESUMED, epoch=1, offset=checkpointed)
    tell_epoch(journal, 2)
    Mirror(run).deliver()
    assert points(client, run, "train/loss") == [(1, 1.0), (2, 0.5)]
    assert [step for step, _ in points(client, run, "batch/loss")] == list(range(1, 7))


def test_an_interrupt_between_a_checkpoint_and_the_word_of_it_loses_no_epoch(
    run, journal, client, tell_epoch
):
    tell_epoch(journal, 1, committed=False)
    checkpointed = journal.size
    finish(journal, "KILLED", reason="interrupted")
    Mirror(run).deliver()
    journal.append(CHECKPOINT, epoch=1)
    journal.append(RESUMED, epoch=1, offset=checkpointed)
    Mirror(run).deliver()
    assert points(client, run, "train/loss") == [(1, 1.0)]
    assert mlflow_run(client, run).info.status == "RUNNING"


def make_fold(make_run, name="fold-1"):
    return make_run(f"run/folds/{name}", parent_dir="../..", run_name=name)


def test_a_nested_run_belongs_to_its_parent_and_to_the_experiment_of_that(make_run, client):
    # `mlflow run` chose the experiment of the parent.
    made = client.create_run("0", run_name="parent")
    parent = make_run(run_id=made.info.run_id)
    fold = make_fold(make_run)
    Mirror(fold).deliver()
    nested = mlflow_run(client, fold)
    assert nested.data.tags["mlflow.parentRunId"] == read_link(parent.tracking_path).run_id
    assert nested.info.experiment_id == "0"


def test_a_parent_is_made_before_what_is_nested_in_it(make_run, client):
    parent, fold = make_run(), make_fold(make_run)
    Mirror(fold).deliver()
    assert read_link(parent.tracking_path).run_id
    tags = mlflow_run(client, fold).data.tags
    assert tags["mlflow.parentRunId"] == read_link(parent.tracking_path).run_id


def test_a_nested_run_waits_until_its_parent_has_a_run(make_run, client):
    parent, fold = make_run(), make_fold(make_run)
    link = read_link(parent.tracking_path)
    parent.tracking_path.unlink()
    assert deliver_rest(fold) == f"{parent.path} has no MLflow run yet"
    write_link(parent.tracking_path, link)
    assert deliver_rest(fold) is None


def test_a_link_that_is_lost_is_sent_again_without_doubling_a_point(run, client, tell_epoch):
    journal = Journal(run.journal_path)
    tell_epoch(journal, 1)
    Mirror(run).deliver()
    before = mlflow_run(client, run)
    run.tracking_path.unlink()
    tell_epoch(journal, 2)
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.run_id == before.info.run_id
    assert points(client, run, "train/loss") == [(1, 1.0), (2, 0.5)]


def test_a_parent_delivers_what_its_nested_runs_left(make_run, client, tell_epoch):
    parent = make_run()
    folds = [make_fold(make_run, name) for name in ("fold-1", "fold-2")]
    for fold in folds:
        tell_epoch(Journal(fold.journal_path), 1)
    assert deliver_rest(parent) is None
    assert [points(client, fold, "train/loss") for fold in folds] == [[(1, 1.0)]] * 2


def test_a_run_that_two_threads_deliver_at_once_is_made_once(run, client):
    threads = [threading.Thread(target=Mirror(run).deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.search_runs([client.get_experiment_by_name("ocean").experiment_id])) == 1


def test_a_server_that_is_gone_is_told_in_one_line_and_soon(make_run, capfd):
    run = make_run(tracking_uri="http://127.0.0.1:9")
    began = time.monotonic()
    reason = deliver_rest(run)
    assert time.monotonic() - began < 20
    assert "127.0.0.1" in reason
    assert "\n" not in reason
    assert capfd.readouterr().err == ""


def test_a_store_whose_driver_is_not_installed_is_a_store_that_is_gone(make_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    run = make_run(tracking_uri="mysql+pymysql://127.0.0.1/mlflow")
    assert "pymysql" in deliver_rest(run)


def test_a_refused_file_holds_up_nothing_and_sync_sends_it_later(run, journal, client, monkeypatch):
    class CloudError(Exception):
        """As the libraries of clouds have them: of no class that is known here."""

    def upload(*_):
        raise CloudError("no credentials")

    (run.path / "config.yaml").write_text("seed: 0\n")
    journal.append("artifacts", paths=["config.yaml"])
    journal.append("metrics", step=0, metrics={"value": 1.0})
    finish(journal)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", upload)
        assert deliver_rest(run) == "it refused config.yaml (no credentials)"
    arrived = mlflow_run(client, run)
    assert (arrived.info.status, arrived.data.metrics) == ("FINISHED", {"value": 1.0})
    assert deliver_rest(run) is None
    assert [each.path for each in client.list_artifacts(arrived.info.run_id)] == ["config.yaml"]
    assert read_link(run.tracking_path).refused == {}


def test_a_file_that_the_run_does_not_have_is_passed_over(run, journal, client):
    journal.append("artifacts", paths=["never_written.json"])
    Mirror(run).deliver()
    assert client.list_artifacts(read_link(run.tracking_path).run_id) == []


def test_the_attention_of_each_head_is_a_chart(run, journal, client):
    entropy = {"traits": [0.5, None], "block_1/static_to_dynamic": [0.25, 0.75]}
    journal.append("attention", epoch=3, entropy=entropy)
    journal.append(FINISHED, status="FINISHED")
    assert deliver_rest(run) is None
    assert mlflow_run(client, run).data.metrics == {
        "attention_entropy/traits/head_1": 0.5,
        "attention_entropy/block_1/static_to_dynamic/head_1": 0.25,
        "attention_entropy/block_1/static_to_dynamic/head_2": 0.75,
    }


def test_what_answers_for_a_server_with_an_empty_page_has_taken_nothing(run, journal, monkeypatch):
    journal.append("metrics", step=0, metrics={"value": 1.0})
    created = SimpleNamespace(info=SimpleNamespace(run_id=""))
    monkeypatch.setattr(MlflowClient, "create_run", lambda *_, **__: created)
    assert "does not answer as MLflow does" in deliver_rest(run)
    assert read_link(run.tracking_path).delivered == 0


@pytest.mark.parametrize("location", ["s3://bucket/runs", "/proc/no/place"])
def test_an_artifact_location_that_cannot_be_used_costs_no_metric(
    location, run, journal, client, tell_epoch, monkeypatch
):
    monkeypatch.setitem(sys.modules, "boto3", None)
    client.create_experiment("ocean", artifact_location=location)
    (run.path / "config.yaml").write_text("seed: 0\n")
    journal.append("artifacts", paths=["config.yaml"])
    tell_epoch(journal, 1)
    finish(journal)
    assert deliver_rest(run).startswith("it refused config.yaml")
    arrived = mlflow_run(client, run)
    assert (arrived.info.status, arrived.data.metrics["train/loss"]) == ("FINISHED", 1.0)


def test_a_refusal_is_named_once(run, journal, client, caplog, monkeypatch):
    def upload(*_):
        raise ImportError("No module named 'boto3'")

    monkeypatch.setattr(MlflowClient, "log_artifact", upload)
    for name in ("config.yaml", "split.csv"):
        (run.path / name).write_text("")
        journal.append("artifacts", paths=[name])
    with caplog.at_level(logging.WARNING):
        reason = Mirror(run, warns=True).deliver()
    assert reason == "it refused config.yaml (No module named 'boto3'), and 1 more"
    (record,) = caplog.records
    assert "MLflow refused config.yaml" in record.getMessage()
    assert "everything else is delivered" in record.getMessage()


def test_one_point_that_is_refused_costs_no_other(run, journal, client):
    values = {f"value/{number}": float(number) for number in range(40)}
    journal.append("metrics", step=0, metrics={**values, "no%good": 1.0})
    finish(journal)
    assert deliver_rest(run).startswith("it refused no%good")
    assert mlflow_run(client, run).data.metrics == values
    assert mlflow_run(client, run).info.status == "FINISHED"


@pytest.mark.parametrize("kind", ["params", "tags"])
def test_one_field_that_is_refused_costs_no_other(kind, run, journal, client):
    fields = {f"name.{number}": "x" for number in range(150)}
    journal.append(kind, **{kind: {**fields, "k" * 300: "too long a name"}})
    finish(journal)
    assert deliver_rest(run).startswith("it refused kkk")
    arrived = mlflow_run(client, run)
    assert fields.items() <= getattr(arrived.data, kind).items()
    assert arrived.info.status == "FINISHED"


def test_a_store_that_accepts_no_point_at_all_is_not_asked_for_each(
    run, journal, client, monkeypatch
):
    calls = []

    def fail(*_, **__):
        calls.append(1)
        raise MlflowException("broken")

    monkeypatch.setattr(MlflowClient, "log_batch", fail)
    journal.append("metrics", step=0, metrics={f"value/{n}": 1.0 for n in range(900)})
    assert deliver_rest(run) == "broken"
    assert len(calls) < 200
    assert read_link(run.tracking_path).delivered == 0


def test_a_run_that_was_deleted_in_mlflow_is_named_with_the_fix(run, journal, client):
    Mirror(run).deliver()
    run_id = read_link(run.tracking_path).run_id
    client.delete_run(run_id)
    journal.append("metrics", step=0, metrics={"value": 1.0})
    assert f"mlflow runs restore --run-id {run_id}" in deliver_rest(run)
    client.restore_run(run_id)
    assert deliver_rest(run) is None
    assert mlflow_run(client, run).data.metrics == {"value": 1.0}


def test_a_nested_run_that_was_deleted_in_mlflow_holds_up_no_other(make_run, client, tell_epoch):
    parent = make_run()
    folds = [make_fold(make_run, name) for name in ("fold-1", "fold-2")]
    deliver_rest(parent)
    client.delete_run(read_link(folds[0].tracking_path).run_id)
    for fold in folds:
        tell_epoch(Journal(fold.journal_path), 1)
    assert "was deleted" in deliver_rest(parent)
    assert points(client, folds[1], "train/loss") == [(1, 1.0)]


def test_a_run_whose_creation_was_not_answered_is_found_again(run, client, monkeypatch):
    create = MlflowClient.create_run

    def create_and_lose(self, *args, **kwargs):
        create(self, *args, **kwargs)
        raise MlflowException("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", create_and_lose)
        assert deliver_rest(run) == "connection reset"
    assert deliver_rest(run) is None
    (made,) = client.search_runs([client.get_experiment_by_name("ocean").experiment_id])
    assert made.info.run_id == read_link(run.tracking_path).run_id


def test_a_full_disk_is_no_outage_and_makes_no_second_run(run, client, monkeypatch):
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
    assert len(client.search_runs([client.get_experiment_by_name("ocean").experiment_id])) == 1


@pytest.mark.parametrize("left", ["nothing", "the journal, begun again"])
def test_a_run_whose_directory_was_removed_has_failed(left, run, journal, client, tell_epoch):
    mirror = Mirror(run)
    tell_epoch(journal, 1)
    mirror.deliver()
    run_id = read_link(run.tracking_path).run_id
    shutil.rmtree(run.path)
    if left != "nothing":
        Journal(run.journal_path).append("metrics", step=0, metrics={})
    for _ in range(2):
        with pytest.raises(DeliveryError, match="was removed while the run was going on"):
            mirror.deliver()
    ended = client.get_run(run_id)
    assert ended.info.status == "FAILED"
    assert "was removed" in ended.data.tags["failure"]


def test_a_damaged_run_id_is_corrected_from_the_run_log(run, journal, client, tell_epoch):
    tell_epoch(journal, 1)
    Mirror(run).deliver()
    link = read_link(run.tracking_path)
    write_link(run.tracking_path, dataclasses.replace(link, run_id=f"x{link.run_id[1:]}"))
    finish(journal)
    assert deliver_rest(run) is None
    assert read_link(run.tracking_path).run_id == link.run_id
    assert client.get_run(link.run_id).info.status == "FINISHED"


def test_a_run_whose_directory_is_removed_while_its_model_is_sent_has_failed(
    run, journal, client, tell_epoch, monkeypatch
):
    def remove(*_, **__):
        shutil.rmtree(run.path)
        raise FileNotFoundError("model.keras")

    mirror = Mirror(run)
    tell_epoch(journal, 1)
    mirror.deliver()
    run_id = read_link(run.tracking_path).run_id
    monkeypatch.setattr("pipeline.tracking.mirror.log_packaged_model", remove)
    journal.append("model", registered_model="", alias="")
    finish(journal)
    with pytest.raises(DeliveryError, match="was removed while the run was going on"):
        mirror.deliver()
    assert client.get_run(run_id).info.status == "FAILED"


def test_a_store_that_hangs_is_waited_for_no_longer_than_asked(run, monkeypatch):
    released = threading.Event()

    def hang(uri):
        released.wait(60)
        raise ConnectionError(uri)

    monkeypatch.setattr("pipeline.tracking.mirror.open_store", hang)
    began = time.monotonic()
    assert deliver_rest(run, seconds=0.2) == "no answer within 0.2 s"
    assert time.monotonic() - began < 10
    released.set()


def test_evaluation_points_of_a_run_that_is_resumed_arrive_once(run, journal, client, tell_epoch):
    tell_epoch(journal, 1, committed=False)
    checkpointed = journal.size
    journal.append(CHECKPOINT, epoch=1)
    Mirror(run).deliver()
    journal.append("metrics", step=0, metrics={"evaluation/validation/mae/mean": 0.1})
    Mirror(run).deliver()
    finish(journal, "KILLED", reason="interrupted")
    Mirror(run).deliver()
    assert mlflow_run(client, run).info.status == "KILLED"
    time.sleep(0.01)
    journal.append(RESUMED, epoch=1, offset=checkpointed)
    journal.append("metrics", step=0, metrics={"evaluation/validation/mae/mean": 0.1})
    Mirror(run).deliver()
    finish(journal)
    Mirror(run).deliver()
    assert points(client, run, "evaluation/validation/mae/mean") == [(0, 0.1)]
    assert points(client, run, "train/loss") == [(1, 1.0)]
    assert mlflow_run(client, run).info.status == "FINISHED"


def test_a_refused_status_that_a_resume_took_back_is_not_sent_again(
    run, journal, client, monkeypatch
):
    def refuse(*_, **__):
        raise MlflowException("not now")

    finish(journal, "KILLED", reason="interrupted")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", refuse)
        assert deliver_rest(run) == "it refused the status (not now)"
    journal.append(RESUMED, epoch=0, offset=0)
    finish(journal)
    assert deliver_rest(run) is None
    assert mlflow_run(client, run).info.status == "FINISHED"
    assert read_link(run.tracking_path).refused == {}
