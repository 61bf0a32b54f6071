"""Outages of a real `mlflow server` during a run."""

import signal
import time

import pytest
from mlflow import MlflowClient

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.tracking.background import BackgroundMirror
from pipeline.tracking.mirror import Mirror, deliver_rest
from pipeline.tracking.run_link import Link, read_link, write_link

pytestmark = pytest.mark.slow

NUM_EPOCHS, NUM_STEPS = 30, 20


@pytest.fixture
def client(server):
    return MlflowClient(tracking_uri=server.uri)


@pytest.fixture
def run(server, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    link = Link(tracking_uri=server.uri, experiment="ocean", run_name="run")
    write_link(run.tracking_path, link)
    return run


@pytest.fixture
def run_log(run):
    return RunLog(run.run_log_path)


def wait_for_epoch(client, run, epoch):
    deadline = time.monotonic() + 60
    while True:
        run_id = read_link(run.tracking_path).run_id
        history = client.get_metric_history(run_id, "loss/train") if run_id else []
        if any(point.step == epoch for point in history):
            return run_id
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_server_delays_no_training_and_loses_no_event(
    server, client, run, run_log, log_epoch
):
    background = BackgroundMirror(lambda: Mirror(run))

    def train(epochs):
        for epoch in epochs:
            log_epoch(run_log, epoch, num_steps=NUM_STEPS)
            background.wake()

    train(range(1, 6))
    run_id = wait_for_epoch(client, run, 5)
    server.kill()
    began = time.monotonic()
    train(range(6, NUM_EPOCHS + 1))
    assert time.monotonic() - began < 5

    server.start()
    (run.path / "config.yaml").write_text("seed: 0\n")
    run_log.log_artifacts(["config.yaml"])
    run_log.log_params({"seed": 0})
    run_log.log_status("FINISHED")
    assert background.close(seconds=60) is None
    delivered = client.get_run(run_id)
    assert delivered.info.status == "FINISHED"
    assert delivered.data.params == {"seed": "0"}
    assert [each.path for each in client.list_artifacts(run_id)] == ["config.yaml"]
    for name in delivered.data.metrics:
        steps = [point.step for point in client.get_metric_history(run_id, name)]
        number = NUM_EPOCHS * (NUM_STEPS if name.startswith("step/") else 1)
        expected = [0] * number if name.startswith("eval/") else list(range(1, number + 1))
        assert sorted(steps) == expected, name
    # Headline, losses, means of the metrics, times, metrics of steps.
    assert len(delivered.data.metrics) == 2 + 2 + 2 * 6 + 3 + 2


def test_a_stopped_server_delays_no_training_and_loses_no_event(
    server, client, run, run_log, log_epoch, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    background = BackgroundMirror(lambda: Mirror(run), is_nested=True)
    log_epoch(run_log, 1)
    background.wake()
    run_id = wait_for_epoch(client, run, 1)

    server.signal(signal.SIGSTOP)
    began = time.monotonic()
    log_epoch(run_log, 2)
    background.wake()
    assert time.monotonic() - began < 2
    assert "timed out" in background.close(seconds=60).lower()

    server.signal(signal.SIGCONT)
    run_log.log_status("FINISHED")
    assert deliver_rest(run, seconds=60) is None
    history = client.get_metric_history(run_id, "loss/train")
    assert [point.step for point in history] == [1, 2]
    assert client.get_run(run_id).info.status == "FINISHED"
