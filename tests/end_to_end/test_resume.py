"""A run that is interrupted and killed continues to the values of an undisturbed run."""

import json
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline.core.run_log import CHECKPOINT, read_events

pytestmark = pytest.mark.slow

NUM_EPOCHS, NUM_STEPS = 4, 48
SLOW_STEPS = (
    *("--training.num_epochs", NUM_EPOCHS, "--training.batch_size", 4),
    *("--training.steps_per_execution", 1, "--model.fusion_dim", 16, "--model.num_heads", 2),
    *("--evaluation.num_resamples", 100, "--evaluation.figures", "false"),
    *("--tracking.patience_seconds", 60),
)
"""Many small steps, so that a signal can arrive in the middle of an epoch."""


def stop_in_next_epoch(process, run_dir, *, after_epoch, with_signal):
    """Send a signal shortly after the checkpoint of an epoch."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        events = read_events(run_dir / "events.jsonl")
        if any(e.kind == CHECKPOINT and e.content["epoch"] >= after_epoch for e in events):
            time.sleep(0.1)
            process.send_signal(with_signal)
            return
        time.sleep(0.01)
    out, err = process.communicate()
    pytest.fail(f"the run ended before epoch {after_epoch}: {out}{err}")


@pytest.fixture(scope="module")
def stopped(start, features_dir, tmp_path_factory):
    """A run that is interrupted in epoch 2, resumed, and killed in epoch 3."""
    directory = tmp_path_factory.mktemp("resume")
    client = MlflowClient(tracking_uri=f"sqlite:///{directory / 'mlflow.db'}")
    story = SimpleNamespace(directory=directory, client=client, ends=[], is_over=False)
    story.resumed, story.whole = directory / "resumed", directory / "whole"
    steps = [
        (("--run_dir", "resumed", "--features_dir", features_dir, *SLOW_STEPS), 1, signal.SIGHUP),
        (("--resume", "resumed"), 2, signal.SIGKILL),
    ]
    for options, after_epoch, with_signal in steps:
        process = start("train", *options, cwd=directory)
        stop_in_next_epoch(process, story.resumed, after_epoch=after_epoch, with_signal=with_signal)
        _, err = process.communicate(timeout=240)
        story.ends.append((process.returncode, err, mlflow_run(story).info.status))
    return story


@pytest.fixture
def story(stopped, run_here, features_dir):
    """The stopped run, resumed to its end, and an undisturbed run."""
    if not stopped.is_over:
        stopped.is_over = True
        last = run_here("train", "--resume", "resumed", cwd=stopped.directory)
        stopped.ends.append((last.status, last.err, mlflow_run(stopped).info.status))
        whole = run_here(
            *("train", "--run_dir", "whole", "--features_dir", features_dir, *SLOW_STEPS),
            *("--tracking.enabled", "false"),
            cwd=stopped.directory,
        )
        assert whole.status == 0, whole.err
    return stopped


def mlflow_run(story):
    run_id = json.loads((story.resumed / "mlflow.json").read_text())["run_id"]
    return story.client.get_run(run_id)


def test_an_interrupt_is_one_line_and_the_last_resume_succeeds(story):
    hint = f"Resume with `python -m pipeline train --resume {story.resumed}`."
    (first_status, first_err, first_state), (second_status, second_err, _), last = story.ends
    assert (first_status, first_state) == (128 + signal.SIGHUP, "KILLED")
    assert first_err == f"error: interrupted. {hint}\n"
    assert (second_status, second_err) == (-signal.SIGKILL, "")
    assert last == (0, "", "FINISHED")


def test_history_files_and_evaluation_equal_those_of_the_undisturbed_run(story):
    names = ("lr_tracking/lr_logs.json", "predictions/validation.csv", "split.csv")
    for name in (*names, "evaluation.json"):
        assert (story.resumed / name).read_bytes() == (story.whole / name).read_bytes(), name
    resumed, whole = (
        json.loads((path / "batch_metrics" / "metrics_history.json").read_text())
        for path in (story.resumed, story.whole)
    )
    assert (resumed["epoch"], resumed["batch"]) == (whole["epoch"], whole["batch"])
    assert whole["epoch"]["epoch_numbers"] == list(range(1, NUM_EPOCHS + 1))


def test_weights_equal_those_of_the_undisturbed_run(story):
    from pipeline import load_model

    resumed, whole = (load_model(path / "model.keras") for path in (story.resumed, story.whole))
    for found, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_mlflow_has_one_run_without_failure_and_each_point_once(story):
    experiment = story.client.get_experiment_by_name("ocean")
    (run,) = story.client.search_runs([experiment.experiment_id])
    assert run.info.run_id == mlflow_run(story).info.run_id
    assert "failure" not in run.data.tags
    for name in run.data.metrics:
        history = story.client.get_metric_history(run.info.run_id, name)
        steps = sorted(point.step for point in history)
        assert len(steps) == len(set(steps)), name
        if name.startswith("batch/"):
            assert steps == list(range(1, NUM_EPOCHS * NUM_STEPS + 1)), name
        if name.startswith(("train/", "validation/", "time/")):
            assert steps == list(range(1, NUM_EPOCHS + 1)), name


def test_a_resume_does_not_change_a_finished_run(story, run_here):
    before = (story.resumed / "events.jsonl").read_bytes()
    assert run_here("train", "--resume", story.resumed, cwd=story.directory).status == 0
    assert (story.resumed / "events.jsonl").read_bytes() == before
