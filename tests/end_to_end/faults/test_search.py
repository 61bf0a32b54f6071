"""A search that is killed at random moments loses no trial and counts none twice."""

import contextlib
import json
import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.faults.campaign import IS_FULL, Toll, stream
from tests.end_to_end.faults.launcher import Child, Launcher
from tests.end_to_end.faults.mlflow_database import read_runs
from tests.end_to_end.faults.reference import Reference

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not IS_FULL, reason="only in the full campaign; test_search.py kills one search in CI"
    ),
]

NUM_TRIALS, NUM_KILLS = 5, 3
LATEST_KILL_SECONDS = 25
"""Workers import TensorFlow for some 10 seconds; then a trial takes about 3."""
TIMEOUT_SECONDS = 400
SPACE = """\
name: night
parameters:
  fusion_dim: [8, 16]
  dropout_rate: {low: 0.0, high: 0.5}
"""
CONFIG = """\
name: night
model: {fusion: concat, fusion_dim: 8, num_heads: 2}
training: {num_epochs: 2, batch_size: 8}
data: {test_fraction: 0.2}
evaluation: {num_resamples: 100, figures: false}
tracking: {system_metrics: false, package_model: false}
search: {heartbeat_seconds: 1, pruner: none, num_startup_trials: 2}
"""


class Night:
    """One search, begun again with the same command after each kill."""

    def __init__(self, launcher: Launcher, reference: Reference, home: Path) -> None:
        self.home = reference.workplace(home)
        self._launcher = launcher
        self._features_dir = reference.features_dir
        (home / "space.yaml").write_text(SPACE)
        (home / "config.yaml").write_text(CONFIG)

    @property
    def run_dir(self) -> Path:
        return self.home / "runs" / "night-night"

    def begin(self) -> Child:
        """Give the command."""
        return self._launcher.start(
            *("search", "--config", "config.yaml", "--space", "space.yaml"),
            *("--features_dir", self._features_dir, "--num_trials", NUM_TRIALS),
            # A trial that is hit by each kill is still tried again.
            *("--num_workers", 2, "--search.max_retries", NUM_KILLS),
            cwd=self.home,
        )


def kill_leader(child: Child) -> None:
    """Kill the process that the user started, and leave its workers."""
    child.signal(signal.SIGKILL)


def kill_worker(child: Child) -> None:
    """Kill one worker; the search goes on."""
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = [
            each
            for each in psutil.Process(child.pid).children()
            if "spawn_main" in " ".join(each.cmdline())
        ]
        if workers:
            os.kill(workers[0].pid, signal.SIGKILL)


def kill_all(child: Child) -> None:
    """Kill the search and its workers."""
    child.kill_all()


@pytest.mark.parametrize(
    "kill", [kill_leader, kill_worker, kill_all], ids=lambda kill: kill.__name__
)
def test_a_search_killed_at_random_moments_ends_with_each_trial_once(
    kill, launcher, reference, toll_of, tmp_path
):
    name = kill.__name__.removeprefix("kill_").replace("all", "leader and workers")
    toll = toll_of(f"search: {name} killed at a random moment, then the same command")
    night = Night(launcher, reference, tmp_path / "work")
    random = stream("search", kill.__name__)
    for _ in range(NUM_KILLS):
        child = night.begin()
        child.leave_running(random.uniform(2, LATEST_KILL_SECONDS))
        toll.times += child.is_running()
        kill(child)
        if kill is not kill_worker:
            child.wait()
        elif not child.leave_running(TIMEOUT_SECONDS):
            break
    ended = night.begin().wait(TIMEOUT_SECONDS)
    toll.endings[f"status {ended.status}"] += 1
    toll.expect(ended.status == 0, f"status {ended.status}: {ended.err[-800:]}")
    toll.expect(not ended.has_traceback, ended.err[-800:])
    check_trials(night, toll)
    toll.check()


def check_trials(night: Night, toll: Toll) -> None:
    """Check that each trial is complete, counted once, and has one finished MLflow run."""
    trials = json.loads((night.run_dir / "search" / "study.json").read_text())["trials"]
    retried = Counter(trial["retry_of"] for trial in trials if trial["retry_of"] is not None)
    counted = [trial for trial in trials if trial["number"] not in retried]
    complete = [trial for trial in counted if trial["state"] == "COMPLETE"]
    for _ in range(NUM_TRIALS - len(complete)):
        toll.lose(f"{len(complete)} of {NUM_TRIALS} trials are complete")
    for _ in range(len(counted) - NUM_TRIALS):
        toll.double(f"{len(counted)} trials count, not {NUM_TRIALS}")
    for number, times in retried.items():
        if times > 1:
            toll.double(f"trial {number} was tried again {times} times")
    runs = {run.run_id: run for run in read_runs(night.home / "mlflow.db")}
    for trial in complete:
        run = runs.get(trial["mlflow_run_id"])
        if run is None or run.status != "FINISHED":
            toll.lose(f"trial {trial['number']} has the MLflow run {run}")
        elif max(run.points.values()) > 1:
            toll.double(f"trial {trial['number']}: {run.points.most_common(3)}")
    parents = [run for run in runs.values() if not run.parent]
    for extra in parents[1:]:
        toll.double(f"a second MLflow run of the search: {extra.run_id}")
    for run in runs.values():
        toll.expect(run.status != "RUNNING", f"the MLflow run {run.run_id} is {run.status}")


def test_two_searches_of_one_study_share_its_trials(launcher, reference, toll_of, tmp_path):
    toll = toll_of("two searches on one study at the same moment")
    night = Night(launcher, reference, tmp_path / "work")
    toll.times += 1
    both = [night.begin() for _ in range(2)]
    ends = [child.wait(TIMEOUT_SECONDS) for child in both]
    statuses = sorted(ended.status for ended in ends)
    toll.endings[f"statuses {statuses[0]} and {statuses[1]}"] += 1
    toll.expect(statuses in ([0, 0], [0, 2]), f"{[ended.err[-600:] for ended in ends]}")
    for ended in ends:
        toll.expect(not ended.has_traceback, ended.err[-600:])
    check_trials(night, toll)
    toll.check()
