"""A search that is killed at random moments completes and counts each trial once."""

import contextlib
import json
import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.faults.campaign import Outcome, only_full, stream
from tests.end_to_end.faults.launcher import Child, Launcher
from tests.end_to_end.faults.mlflow_database import read_runs
from tests.end_to_end.faults.reference import Reference

pytestmark = [pytest.mark.slow, only_full]  # `end_to_end/test_search.py` is the test in CI

NUM_TRIALS, NUM_KILLS = 5, 3
LATEST_KILL_SECONDS = 25
"""Workers import TensorFlow for about 10 s. A trial then takes about 3 s."""
TIMEOUT_SECONDS = 400
SPACE = """\
name: kills
parameters:
  fusion_dim: [8, 16]
  dropout_rate: {low: 0.0, high: 0.5}
"""
CONFIG = """\
name: kills
model: {fusion: concat, fusion_dim: 8, num_heads: 2}
training: {num_epochs: 2, batch_size: 8}
data: {test_fraction: 0.2}
evaluation: {num_resamples: 100, figures: false}
tracking: {system_metrics: false, package_model: false}
search: {heartbeat_seconds: 1, pruner: none, num_startup_trials: 2}
"""


class KilledSearch:
    """A search that is repeated with the same command after each kill."""

    def __init__(self, launcher: Launcher, reference: Reference, home: Path) -> None:
        self.home = reference.new_directory(home)
        self._launcher = launcher
        self._features_dir = reference.features_dir
        (home / "space.yaml").write_text(SPACE)
        (home / "config.yaml").write_text(CONFIG)

    @property
    def run_dir(self) -> Path:
        return self.home / "runs" / "kills-kills"

    def begin(self) -> Child:
        """Start the search."""
        return self._launcher.start(
            *("search", "--config", "config.yaml", "--space", "space.yaml"),
            *("--features_dir", self._features_dir, "--num_trials", NUM_TRIALS),
            # A trial is repeated even if each kill stops it.
            *("--num_workers", 2, "--search.max_retries", NUM_KILLS),
            cwd=self.home,
        )


def kill_main_process(child: Child) -> None:
    """Kill the main process but not its workers."""
    child.signal(signal.SIGKILL)


def kill_worker(child: Child) -> None:
    """Kill one worker."""
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = [
            each
            for each in psutil.Process(child.pid).children()
            if "spawn_main" in " ".join(each.cmdline())
        ]
        if workers:
            os.kill(workers[0].pid, signal.SIGKILL)


def kill_all(child: Child) -> None:
    """Kill the main process and its workers."""
    child.kill_all()


@pytest.mark.parametrize(
    ("name", "kill"),
    [("leader", kill_main_process), ("worker", kill_worker), ("leader and workers", kill_all)],
)
def test_a_search_killed_at_random_moments_completes_each_trial_once(
    name, kill, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome(f"search: {name} killed at a random moment, then the same command")
    search = KilledSearch(launcher, reference, tmp_path / "work")
    random = stream("search", name)
    for _ in range(NUM_KILLS):
        child = search.begin()
        child.leave_running(random.uniform(2, LATEST_KILL_SECONDS))
        outcome.times += child.is_running()
        kill(child)
        if kill is not kill_worker:
            child.wait()
        elif not child.leave_running(TIMEOUT_SECONDS):
            break
    ended = search.begin().wait(TIMEOUT_SECONDS)
    outcome.expect_status(ended, 0, case=name)
    check_trials(search, outcome)
    outcome.check()


def check_trials(search: KilledSearch, outcome: Outcome) -> None:
    """Check that each trial is complete, is counted once, and has one finished MLflow run."""
    trials = json.loads((search.run_dir / "search" / "study.json").read_text())["trials"]
    retried = Counter(trial["retry_of"] for trial in trials if trial["retry_of"] is not None)
    counted = [trial for trial in trials if trial["number"] not in retried]
    complete = [trial for trial in counted if trial["state"] == "COMPLETE"]
    for _ in range(NUM_TRIALS - len(complete)):
        outcome.add_lost(f"{len(complete)} of {NUM_TRIALS} trials are complete")
    for _ in range(len(counted) - NUM_TRIALS):
        outcome.add_double(f"{len(counted)} trials are counted instead of {NUM_TRIALS}")
    for number, times in retried.items():
        if times > 1:
            outcome.add_double(f"trial {number} was repeated {times} times")
    runs = {run.run_id: run for run in read_runs(search.home / "mlflow.db")}
    for trial in complete:
        run = runs.get(trial["mlflow_run_id"])
        if run is None or run.status != "FINISHED":
            outcome.add_lost(f"trial {trial['number']} has the MLflow run {run}")
        elif repeated := [
            point
            for point, number in run.points.items()
            if number > 1 and not point[0].startswith(("eval/", "more/"))
        ]:
            outcome.add_double(f"trial {trial['number']}: several points {repeated[:3]}")
    parents = [run for run in runs.values() if not run.parent]
    for extra in parents[1:]:
        outcome.add_double(f"a second MLflow run of the search: {extra.run_id}")
    for run in runs.values():
        outcome.expect(run.status != "RUNNING", f"the MLflow run {run.run_id} is {run.status}")


def test_two_searches_share_the_trials_of_one_study(launcher, reference, new_outcome, tmp_path):
    outcome = new_outcome("two searches on one study at the same moment")
    search = KilledSearch(launcher, reference, tmp_path / "work")
    outcome.times += 1
    both = [search.begin() for _ in range(2)]
    ends = [child.wait(TIMEOUT_SECONDS) for child in both]
    statuses = sorted(ended.status for ended in ends)
    outcome.endings[f"statuses {statuses[0]} and {statuses[1]}"] += 1
    outcome.expect(statuses in ([0, 0], [0, 2]), f"{[ended.err[-600:] for ended in ends]}")
    for ended in ends:
        outcome.expect(not ended.has_traceback, ended.err[-600:])
    check_trials(search, outcome)
    outcome.check()
