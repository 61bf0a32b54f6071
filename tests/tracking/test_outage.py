"""Outages of a real `mlflow server` during a run."""

import signal
import time
from dataclasses import dataclass

import pytest
from mlflow import MlflowClient

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.tracking.background import BackgroundMirror
from pipeline.tracking.mirror import Mirror, deliver_rest
from pipeline.tracking.run_link import Link, read_link, write_link
from pipeline.tracking.store import configure_mlflow

pytestmark = pytest.mark.slow

NUM_EPOCHS, NUM_STEPS = 30, 20


@dataclass
class Outage:
    """Two runs with an outage: one that continues, and one that starts and ends during it."""

    client: MlflowClient
    run: RunDirectory
    late_run: RunDirectory
    blocked_seconds: float
    """Time in which training logged its epochs during the outage."""
    reasons: list[str | None]
    """Results of the deliveries: of the late run during the outage, then of both runs."""


def start_run(path, server):
    run = RunDirectory(path)
    path.mkdir()
    link = Link(tracking_uri=server.uri, experiment="ocean", run_name=path.name)
    write_link(run.tracking_path, link)
    return run, RunLog(run.run_log_path)


def wait_for_epoch(client, run, epoch):
    deadline = time.monotonic() + 60
    while True:
        run_id = read_link(run.tracking_path).run_id
        history = client.get_metric_history(run_id, "train/loss") if run_id else []
        if any(point.step == epoch for point in history):
            return
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def outage(server, log_epoch, tmp_path_factory):
    configure_mlflow()
    directory = tmp_path_factory.mktemp("runs")
    client = MlflowClient(tracking_uri=server.uri)
    run, run_log = start_run(directory / "run", server)
    run_log.log_params({"config.seed": 0, "config.name": "x"})
    background = BackgroundMirror(Mirror(run))

    def train(epochs):
        for epoch in epochs:
            log_epoch(run_log, epoch, num_steps=NUM_STEPS)
            background.wake()

    train(range(1, 6))
    wait_for_epoch(client, run, 5)
    server.kill()
    began = time.monotonic()
    train(range(6, NUM_EPOCHS + 1))
    blocked_seconds = time.monotonic() - began

    late_run, late_run_log = start_run(directory / "late", server)
    log_epoch(late_run_log, 1)
    late_run_log.log_status("FINISHED")
    reasons = [deliver_rest(late_run)]

    server.start()
    (run.path / "config.yaml").write_text("seed: 0\n")
    run_log.log_artifacts(["config.yaml"])
    run_log.log_status("FINISHED")
    reasons += [background.close(seconds=60), deliver_rest(late_run, seconds=60)]
    return Outage(
        client=client,
        run=run,
        late_run=late_run,
        blocked_seconds=blocked_seconds,
        reasons=reasons,
    )


def test_training_is_not_delayed(outage):
    assert outage.blocked_seconds < 5


def test_each_point_is_delivered_once(outage):
    run_id = read_link(outage.run.tracking_path).run_id
    metrics = outage.client.get_run(run_id).data.metrics
    for name in metrics:
        steps = [point.step for point in outage.client.get_metric_history(run_id, name)]
        number = NUM_EPOCHS * (NUM_STEPS if name.startswith("batch/") else 1)
        assert sorted(steps) == list(range(1, number + 1)), name
    assert len(metrics) == 3 + 5 + 2 * 6 * 6 + 3  # losses and rate, times, traits, batches


def test_parameters_artifacts_and_the_end_of_the_run_are_delivered(outage):
    run_id = read_link(outage.run.tracking_path).run_id
    delivered = outage.client.get_run(run_id)
    assert delivered.data.params == {"config.seed": "0", "config.name": "x"}
    assert delivered.info.status == "FINISHED"
    assert [each.path for each in outage.client.list_artifacts(run_id)] == ["config.yaml"]


def test_a_run_that_ends_during_the_outage_is_created_afterwards(outage):
    while_down, *afterwards = outage.reasons
    assert while_down is not None
    assert afterwards == [None, None]
    delivered = outage.client.get_run(read_link(outage.late_run.tracking_path).run_id)
    assert (delivered.info.run_name, delivered.info.status) == ("late", "FINISHED")
    assert delivered.data.metrics["train/loss"] == 1.0


def test_a_stopped_server_delays_no_training_and_loses_no_metric(
    outage, server, log_epoch, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    run, run_log = start_run(tmp_path / "hanging", server)
    background = BackgroundMirror(Mirror(run), is_nested=True)
    log_epoch(run_log, 1)
    background.wake()
    wait_for_epoch(outage.client, run, 1)

    server.signal(signal.SIGSTOP)
    began = time.monotonic()
    log_epoch(run_log, 2)
    background.wake()
    assert time.monotonic() - began < 2
    assert "timed out" in background.close(seconds=60).lower()

    server.signal(signal.SIGCONT)
    run_log.log_status("FINISHED")
    assert deliver_rest(run, seconds=60) is None
    run_id = read_link(run.tracking_path).run_id
    history = outage.client.get_metric_history(run_id, "train/loss")
    assert [point.step for point in history] == [1, 2]
    assert outage.client.get_run(run_id).info.status == "FINISHED"
