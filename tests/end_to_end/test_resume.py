"""A run that is interrupted and killed goes on to the values that it would have had."""

import json
import signal
import time
from pathlib import Path

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
)
"""Many small steps, so that there is time to stop in the middle of an epoch."""


def stop_in_the_middle(process, run_dir: Path, *, after_epoch: int, with_signal: int) -> None:
    """Send a signal when an epoch's checkpoint has been taken and the next epoch runs."""
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


class Story:
    """What the process of each chapter ended with, and where the runs are."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.resumed = directory / "resumed"
        self.whole = directory / "whole"
        self.is_over = False
        self.statuses: list[int] = []
        self.errors: list[str] = []
        self.mlflow_statuses: list[str] = []
        self.run_ids: set[str] = set()

    def note(self, status: int, err: str) -> None:
        self.statuses.append(status)
        self.errors.append(err)
        run = self.client.get_run(self.run_id)
        self.mlflow_statuses.append(run.info.status)
        self.run_ids.add(run.info.run_id)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=f"sqlite:///{self.directory / 'mlflow.db'}")

    @property
    def run_id(self) -> str:
        return json.loads((self.resumed / "mlflow.json").read_text())["run_id"]


@pytest.fixture(scope="module")
def begun(start, features_dir, tmp_path_factory):
    """Interrupted in epoch 2, resumed, killed in epoch 3."""
    story = Story(tmp_path_factory.mktemp("resume"))
    chapters = [
        (("--run_dir", "resumed", "--features_dir", features_dir, *SLOW_STEPS), 1, signal.SIGHUP),
        (("--resume", "resumed"), 2, signal.SIGKILL),
    ]
    for options, after_epoch, with_signal in chapters:
        process = start("train", *options, cwd=story.directory)
        stop_in_the_middle(process, story.resumed, after_epoch=after_epoch, with_signal=with_signal)
        _, err = process.communicate(timeout=240)
        story.note(process.returncode, err)
    return story


@pytest.fixture
def story(begun, run_here, features_dir):
    """The same, resumed to its end; beside a run that nothing befell."""
    if not begun.is_over:
        begun.is_over = True
        last = run_here("train", "--resume", "resumed", cwd=begun.directory)
        begun.note(last.status, last.err)
        whole = run_here(
            *("train", "--run_dir", "whole", "--features_dir", features_dir, *SLOW_STEPS),
            *("--tracking.enabled", "false"),
            cwd=begun.directory,
        )
        assert whole.status == 0, whole.err
    return begun


def history(run_dir):
    values = json.loads((run_dir / "batch_metrics" / "metrics_history.json").read_text())
    return {"epoch": values["epoch"], "batch": values["batch"]}


def test_an_interrupt_is_told_in_a_line_and_the_last_resume_ends_well(story):
    assert story.statuses == [128 + signal.SIGHUP, -signal.SIGKILL, 0]
    how = f"Go on with `python -m pipeline train --resume {story.resumed}`."
    assert story.errors == [f"error: interrupted. {how}\n", "", ""]


def test_the_history_is_that_of_the_run_that_nothing_befell_value_for_value(story):
    assert history(story.resumed) == history(story.whole)
    assert history(story.whole)["epoch"]["epoch_numbers"] == list(range(1, NUM_EPOCHS + 1))


def test_the_learning_rates_and_the_predictions_are_those_of_the_run_that_nothing_befell(story):
    for name in ("lr_tracking/lr_logs.json", "predictions/validation.csv", "split.csv"):
        assert (story.resumed / name).read_bytes() == (story.whole / name).read_bytes(), name


def test_the_weights_are_those_of_the_run_that_nothing_befell(story):
    from pipeline import load_model

    one, two = (load_model(path / "model.keras") for path in (story.resumed, story.whole))
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_evaluation_is_that_of_the_run_that_nothing_befell(story):
    one, two = (
        json.loads((path / "evaluation.json").read_text()) for path in (story.resumed, story.whole)
    )
    assert one == two


def test_it_is_one_run_in_mlflow_which_says_how_it_stands(story):
    assert (story.mlflow_statuses[0], story.mlflow_statuses[-1]) == ("KILLED", "FINISHED")
    assert len(story.run_ids) == 1
    experiment = story.client.get_experiment_by_name("ocean")
    assert len(story.client.search_runs([experiment.experiment_id])) == 1


def test_every_point_is_in_mlflow_once(story):
    for name in story.client.get_run(story.run_id).data.metrics:
        history = story.client.get_metric_history(story.run_id, name)
        steps = sorted(point.step for point in history)
        assert len(steps) == len(set(steps)), name
        if name.startswith("batch/"):
            assert steps == list(range(1, NUM_EPOCHS * NUM_STEPS + 1)), name
        if name.startswith(("train/", "validation/", "time/")):
            assert steps == list(range(1, NUM_EPOCHS + 1)), name


def test_a_run_that_went_on_has_not_failed(story):
    assert "failure" not in story.client.get_run(story.run_id).data.tags


def test_a_run_that_is_finished_is_left_as_it_is(story, run_here):
    before = (story.resumed / "events.jsonl").read_bytes()
    assert run_here("train", "--resume", story.resumed, cwd=story.directory).status == 0
    assert (story.resumed / "events.jsonl").read_bytes() == before
