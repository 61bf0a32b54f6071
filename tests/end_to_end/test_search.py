"""A search completes each trial after its MLflow server, worker and main process were killed."""

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
from sqlalchemy.exc import OperationalError

from pipeline.config.loading import load_config
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.tracking.store import open_store
from tests.tracking.mlflow_server import Server

pytestmark = pytest.mark.slow

NUM_TRIALS = 7
SPACE = """\
name: kills
parameters:
  fusion_dim: [8, 16]
  num_heads: [1, 2]
  dropout_rate: {low: 0.0, high: 0.5}
"""
CONFIG = """\
name: search
description: a search that is killed
model: {fusion: concat, fusion_dim: 16, num_heads: 2}
training: {num_epochs: 20, batch_size: 8, steps_per_execution: 1}
evaluation: {num_resamples: 100, figures: false}
tracking: {registered_model: ocean}
search: {heartbeat_seconds: 1, pruner: none, num_startup_trials: 2}
"""
TIMEOUT_SECONDS = 240


def now() -> dt.datetime:
    """Return the local time without a time zone, like Optuna."""
    return dt.datetime.now()  # noqa: DTZ005


class KilledSearch:
    """A search that is started several times with one command."""

    def __init__(self, directory: Path, features_dir: Path, start, server: Server) -> None:
        self.directory = directory
        self.run_dir = directory / "runs" / "search-kills"
        self.server = server
        self.statuses: list[int] = []
        self.outputs: list[str] = []
        self._start = start
        self._features_dir = features_dir
        (directory / "space.yaml").write_text(SPACE)
        (directory / "config.yaml").write_text(CONFIG)

    def begin(self) -> subprocess.Popen[str]:
        """Start the search."""
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
        """Wait until the search has printed a text."""
        while text not in self.output():
            self.check_and_sleep(process)

    def output(self) -> str:
        return Path(self._log.name).read_text()

    def end(self, process) -> None:
        """Wait for the end of the process."""
        self.statuses.append(process.wait(TIMEOUT_SECONDS))
        self.outputs.append(self.output())
        self._log.close()

    def kill_a_worker(self, process) -> None:
        """Kill workers during a trial until one is lost; a trial may end before the kill."""
        while (lost := "lost: the worker died") not in self.output():
            trial = self.running_trial(process)
            worker = int(trial.user_attrs["worker"].rpartition("-")[2])
            os.kill(worker, signal.SIGSTOP)
            try:
                is_running = trial.number in {each.number for each in self.running_trials(0.5)}
            except OperationalError:  # stopped while it writes, the worker keeps SQLite's lock
                is_running = False
            os.kill(worker, signal.SIGKILL if is_running else signal.SIGCONT)
            while is_running and lost not in self.output():
                if f"trial {trial.number} complete" in self.output():
                    break
                self.check_and_sleep(process)

    def kill_all(self, process) -> None:
        """Kill the main process and its workers during a trial."""
        self.running_trial(process)
        os.killpg(process.pid, signal.SIGKILL)

    def running_trial(self, process) -> FrozenTrial:
        """Wait until a trial is running, and return it."""
        while not (trials := self.running_trials()):
            self.check_and_sleep(process)
        return trials[-1]

    def running_trials(self, lock_seconds: float = 60) -> list[FrozenTrial]:
        """Return the running trials of this start; wait `lock_seconds` for a locked file."""
        url = f"sqlite:///{self.run_dir / 'study.db'}?timeout={lock_seconds}"
        study = optuna.load_study(study_name="search-kills", storage=url)
        return [
            trial
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if "worker" in trial.user_attrs and trial.datetime_start > self._began
        ]

    def check_and_sleep(self, process) -> None:
        assert process.poll() is None, self.output()
        assert time.monotonic() < self._deadline, self.output()
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
def search(tmp_path_factory, features_dir, start):
    configure_mlflow()
    directory = tmp_path_factory.mktemp("search")
    home = tmp_path_factory.mktemp("server")
    open_store(f"sqlite:///{home / 'mlflow.db'}")
    mlflow.set_tracking_uri(None)  # later tests use other stores
    search = KilledSearch(directory, features_dir, start, Server(home))
    search.server.start()
    try:
        # Kill the server during a trial, then a worker, then all processes.
        process = search.begin()
        search.wait_for(process, "trial 0 complete")
        search.server.kill()
        search.kill_a_worker(process)
        search.server.start()
        search.kill_all(process)
        search.end(process)
        # Interrupt the search.
        process = search.begin()
        search.running_trial(process)
        os.killpg(process.pid, signal.SIGINT)
        search.end(process)
        # Let the search finish.
        process = search.begin()
        search.end(process)
        yield search
    finally:
        search.server.kill()


def test_an_interrupted_search_is_continued_by_the_same_command(search):
    assert search.statuses == [-signal.SIGKILL, 130, 0], search.outputs[-1]
    assert "Give the same command to continue." in search.outputs[1]
    assert "Traceback" not in "".join(search.outputs)


def test_no_trial_is_lost_or_counted_twice(search):
    trials = {trial["number"]: trial for trial in search.study()["trials"]}
    retried = {trial["retry_of"] for trial in trials.values()}
    counted = [trial for number, trial in trials.items() if number not in retried]
    assert [trial["state"] for trial in counted] == ["COMPLETE"] * NUM_TRIALS
    assert len(retried - {None}) >= 2
    for trial in trials.values():
        lost = trials.get(trial["retry_of"])
        # A trial that was killed at its start has no settings.
        if lost is not None and lost["overrides"] and trial["overrides"]:
            assert trial["overrides"] == lost["overrides"]


def test_mlflow_has_a_finished_nested_run_per_trial(search):
    (parent,) = search.runs("study")
    trials = search.runs("trial")
    complete = [trial for trial in search.study()["trials"] if trial["state"] == "COMPLETE"]
    finished = {run.info.run_id: run for run in trials if run.info.status == "FINISHED"}
    assert parent.info.status == "FINISHED"
    assert "RUNNING" not in {run.info.status for run in (*trials, *search.runs("refit"))}
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    for trial in complete:
        run = finished[trial["mlflow_run_id"]]
        values = search.client.get_metric_history(run.info.run_id, "per_epoch/mae/val")
        assert min(point.value for point in values) == pytest.approx(trial["values"][0])


def test_the_recommended_configuration_is_written_and_its_model_registered(search):
    (parent,) = search.runs("study")
    recommended = parent.data.tags["recommended"]
    trials = {f"trial-{each['number']:04d}": each for each in search.study()["trials"]}
    default = {"model.fusion_dim": 16, "model.num_heads": 2}
    expected = trials[recommended]["overrides"] if recommended in trials else default
    config = load_config(search.run_dir / "search" / "best.yaml")
    assert config.model.fusion_dim == expected["model.fusion_dim"]
    assert config.model.num_heads == expected["model.num_heads"]
    version = search.client.get_model_version_by_alias("ocean", "best")
    (refit,) = [
        run for run in search.runs("refit") if run.data.tags["role"].startswith(recommended)
    ]
    assert version.run_id == refit.info.run_id
    (decision,) = [
        line for line in search.outputs[-1].splitlines() if line.startswith(("KEEP", "USE"))
    ]
    assert decision in parent.data.tags["mlflow.note.content"]


def test_the_best_model_is_evaluated_on_clips_that_no_trial_used(search):
    seen = set()
    for path in search.run_dir.glob("trials/*/split.csv"):
        lines = path.read_text().splitlines()[1:]
        seen |= {line.split(",")[0] for line in lines if not line.endswith(",test")}
    refit = next(search.run_dir.glob("refits/*/predictions/test.csv"))
    evaluated = {line.split(",")[0] for line in refit.read_text().splitlines()[1:]}
    assert evaluated
    assert not evaluated & seen
