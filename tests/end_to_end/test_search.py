"""A search that meets a bad night: its server, its workers and itself are killed, and it ends."""

import datetime as dt
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.loading import load_config
from pipeline.tracking.store import configure_mlflow, open_store
from tests.tracking.mlflow_server import Server

pytestmark = pytest.mark.slow

NUM_TRIALS = 5
SPACE = """\
name: night
parameters:
  fusion_dim: [8, 16]
  num_heads: [1, 2]
  dropout_rate: {low: 0.0, high: 0.5}
"""
CONFIG = """\
name: night
description: a search that is killed
model: {fusion: concat, fusion_dim: 16, num_heads: 2}
training: {num_epochs: 3, batch_size: 8, steps_per_execution: 1}
evaluation: {num_resamples: 100, figures: false}
search: {heartbeat_seconds: 1, pruner: none, num_startup_trials: 2}
"""
TIMEOUT_SECONDS = 240


def now() -> dt.datetime:
    """The time as Optuna notes it."""
    return dt.datetime.now()  # noqa: DTZ005


class Night:
    """The search and what is done to it; each call is a chapter."""

    def __init__(self, directory: Path, features_dir: Path, start, server: Server) -> None:
        self.directory = directory
        self.run_dir = directory / "runs" / "night-night"
        self.server = server
        self.statuses: list[int] = []
        self.outputs: list[str] = []
        self._start = start
        self._features_dir = features_dir
        (directory / "space.yaml").write_text(SPACE)
        (directory / "config.yaml").write_text(CONFIG)

    def begin(self) -> subprocess.Popen[str]:
        """Give the one command that every chapter begins with."""
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        self._began = now()
        self._log = (self.directory / f"{len(self.outputs)}.txt").open("w+")
        return self._start(
            *("search", "--config", "config.yaml", "--space", "space.yaml"),
            *("--features_dir", self._features_dir, "--num_trials", NUM_TRIALS),
            *("--num_workers", 2),
            cwd=self.directory,
            environment={"MLFLOW_TRACKING_URI": self.server.uri},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def wait_for(self, process, text: str) -> None:
        while text not in self.said():
            self.tick(process)

    def said(self) -> str:
        return Path(self._log.name).read_text()

    def end(self, process) -> None:
        self.statuses.append(process.wait(TIMEOUT_SECONDS))
        self.outputs.append(self.said())
        self._log.close()

    def kill_a_worker(self, process) -> None:
        """Kill a worker that has a trial in its hands, until one is lost: a trial may just end."""
        while (lost := "lost: its worker is gone") not in self.said():
            trial = self.begun_trial(process)
            os.kill(int(trial.user_attrs["worker"].rpartition("-")[2]), signal.SIGKILL)
            while lost not in self.said() and f"trial {trial.number} complete" not in self.said():
                self.tick(process)

    def kill_all(self, process) -> None:
        """Kill the search and its workers while they have a trial in their hands."""
        self.begun_trial(process)
        os.killpg(process.pid, signal.SIGKILL)

    def begun_trial(self, process) -> FrozenTrial:
        """Wait for a trial of this chapter that began less than a second ago, and return it."""
        study = optuna.load_study(
            study_name="night-night", storage=f"sqlite:///{self.run_dir / 'study.db'}"
        )
        while True:
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                is_young = trial.datetime_start > max(self._began, now() - dt.timedelta(seconds=1))
                if "worker" in trial.user_attrs and is_young:
                    return trial
            self.tick(process)

    def tick(self, process) -> None:
        assert process.poll() is None, self.said()
        assert time.monotonic() < self._deadline, self.said()
        time.sleep(0.05)

    def study(self) -> dict:
        return json.loads((self.run_dir / "search" / "study.json").read_text())

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.server.uri)

    def runs(self, kind: str):
        experiments = [each.experiment_id for each in self.client.search_experiments()]
        return self.client.search_runs(experiments, f"tags.kind = '{kind}'")


@pytest.fixture(scope="module")
def night(tmp_path_factory, features_dir, start):
    configure_mlflow()
    directory = tmp_path_factory.mktemp("night")
    home = tmp_path_factory.mktemp("server")
    open_store(f"sqlite:///{home / 'mlflow.db'}")
    mlflow.set_tracking_uri(None)  # it is the store of the server, and of no later test
    night = Night(directory, features_dir, start, Server(home))
    night.server.start()
    try:
        # The server dies in the middle of a trial; then a worker does; then all of it.
        process = night.begin()
        night.wait_for(process, "trial 0 complete")
        night.server.kill()
        night.kill_a_worker(process)
        night.server.start()
        night.kill_all(process)
        night.end(process)
        # A person stops it.
        process = night.begin()
        night.begun_trial(process)
        os.killpg(process.pid, signal.SIGINT)
        night.end(process)
        # It is left alone.
        process = night.begin()
        night.end(process)
        yield night
    finally:
        night.server.kill()


def test_the_same_command_ends_well(night):
    killed, interrupted, last = night.statuses
    assert (killed, interrupted, last) == (-signal.SIGKILL, 130, 0), night.outputs[-1]


def test_an_interrupt_says_how_to_go_on(night):
    assert "Go on with the same command." in night.outputs[1]
    assert "Traceback" not in "".join(night.outputs)


def test_no_trial_is_lost_and_none_counts_twice(night):
    trials = night.study()["trials"]
    retried = {trial["retry_of"] for trial in trials}
    counted = [trial for trial in trials if trial["number"] not in retried]
    assert [trial["state"] for trial in counted] == ["COMPLETE"] * NUM_TRIALS
    assert len(retried - {None}) >= 2


def test_what_was_tried_again_has_the_same_settings(night):
    trials = {trial["number"]: trial for trial in night.study()["trials"]}
    for trial in trials.values():
        lost = trials.get(trial["retry_of"])
        # One that was killed as it began has not said what it was to try.
        if lost is not None and lost["overrides"] and trial["overrides"]:
            assert trial["overrides"] == lost["overrides"]


def test_mlflow_has_a_nested_run_for_every_trial_and_none_is_left_running(night):
    (parent,) = night.runs("study")
    trials = night.runs("trial")
    complete = [trial for trial in night.study()["trials"] if trial["state"] == "COMPLETE"]
    finished = {run.info.run_id: run for run in trials if run.info.status == "FINISHED"}
    assert parent.info.status == "FINISHED"
    assert "RUNNING" not in {run.info.status for run in (*trials, *night.runs("refit"))}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    for trial in complete:
        run = finished[trial["mlflow_run_id"]]
        values = night.client.get_metric_history(run.info.run_id, "validation/mae/mean")
        assert min(point.value for point in values) == pytest.approx(trial["values"][0])


def test_the_best_configuration_is_one_that_train_takes(night):
    best = next(
        t for t in night.study()["trials"] if t["number"] == night.study()["best"]["number"]
    )
    config = load_config(night.run_dir / "search" / "best.yaml")
    assert config.model.fusion_dim == best["overrides"]["model.fusion_dim"]
    assert config.model.num_heads == best["overrides"]["model.num_heads"]


def test_the_best_model_is_registered_under_its_alias(night):
    version = night.client.get_model_version_by_alias("night", "best")
    (refit,) = [run for run in night.runs("refit") if run.data.tags["role"] != "default"]
    assert version.run_id == refit.info.run_id


def test_the_best_is_judged_on_clips_that_no_trial_has_seen(night):
    seen = set()
    for summary in night.run_dir.glob("trials/*/split.csv"):
        lines = summary.read_text().splitlines()[1:]
        seen |= {line.split(",")[0] for line in lines if not line.endswith(",test")}
    refit = next(night.run_dir.glob("refits/trial-*/predictions/test.csv"))
    judged = {line.split(",")[0] for line in refit.read_text().splitlines()[1:]}
    assert judged
    assert not judged & seen
