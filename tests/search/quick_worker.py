"""Worker with trials that do not train. Worker processes import this module by name."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import optuna

from pipeline.search.study_spec import StudySpec
from pipeline.search.worker import TrialOutcome, Worker


def start_quick_worker(
    spec: StudySpec, *, killed_in: int | None = None
) -> Callable[[int], TrialOutcome]:
    """Return a worker with trials of milliseconds. The process is killed in trial `killed_in`."""

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
