"""Workers whose trials train nothing. Worker processes import this module by its name."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from pipeline.search.study_spec import StudySpec
from pipeline.search.worker import TrialOutcome, Worker

RunTrial = Callable[[int], TrialOutcome]


def start_quick_worker(spec: StudySpec, *, killed_in: int | None = None) -> RunTrial:
    """Return a worker whose trials take milliseconds; its process dies in trial `killed_in`."""

    def run(trial: optuna.Trial) -> float:
        overrides = spec.space.propose(trial)
        trial.set_user_attr("overrides", overrides)
        trial.set_user_attr("best_epochs", [1])
        with Path(spec.study_dir / "ran.txt").open("a", encoding="utf-8") as ran:
            ran.write(f"{trial.number}\n")
        if trial.number == killed_in:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return float(overrides["model.dropout_rate"])

    spec.study_dir.mkdir(parents=True, exist_ok=True)
    return Worker(spec, run).run


def start_slow_worker(spec: StudySpec) -> RunTrial:
    """Return a worker whose trials take a minute."""

    def run(trial: optuna.Trial) -> float:
        spec.space.propose(trial)
        time.sleep(60)
        return 0.0

    return Worker(spec, run).run
