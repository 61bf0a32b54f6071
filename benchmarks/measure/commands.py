"""Time of the command `train`, and its time until the first training step.

The experiment is first_impressions.yaml, with MLflow, all figures and the report. The begin of the
first step is in the run log. The MLflow store exists, and all files are in the caches.
"""

from pathlib import Path

from benchmarks.bench import EXPERIMENT, Bench
from benchmarks.processes import run_command
from benchmarks.rows import Result, find_row
from benchmarks.timing import interleave
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import effective_events, read_events
from pipeline.records.epochs import StepRecords, epoch_records


def measure(bench: Bench) -> list[Result]:
    """Measure the import of TensorFlow and the command `train`."""
    work_dir, features_dir = bench.work_dir, bench.pair_dir

    def import_tensorflow() -> tuple[float, float]:
        finished = run_command(("-c", "import tensorflow"), work_dir=work_dir)
        return finished.seconds, finished.seconds

    def train() -> tuple[float, float]:
        finished, run_dir = bench.train(features_dir, "--config", EXPERIMENT)
        return first_step_began(run_dir) - finished.began, finished.seconds

    rounds = interleave(
        {"rival": import_tensorflow, "ours": train},
        max_repeats=bench.sizes.max_repeats,
        budget_seconds=bench.sizes.budget_seconds["commands"],
    )
    return [
        Result(
            row=find_row("first_step"),
            ours=[each["ours"][0] for each in rounds],
            rival=[each["rival"][0] for each in rounds],
        ),
        Result(row=find_row("train"), ours=[each["ours"][1] for each in rounds]),
    ]


def first_step_began(run_dir: Path) -> float:
    """Return the begin of the first training step of a run, in seconds since 1970."""
    steps = recorded_steps(run_dir)[0]
    return steps.time_ms[0] / 1000 - steps.seconds[0]


def recorded_steps(run_dir: Path) -> list[StepRecords]:
    """Return the training steps of each epoch of a run."""
    events = effective_events(read_events(RunDirectory(run_dir).run_log_path))
    return [record.steps for record in epoch_records(events)]
