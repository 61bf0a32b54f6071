"""Trials per hour of `search`, beside a plain Optuna loop that runs for the same time.

Both use the same space, configuration and clips. Imports are included. `search` is tracked in
MLflow and has two workers. It is interrupted after the duration of the loop, so the final models
are not included. Trials count if they are complete or pruned in this time.
"""

import json
from dataclasses import dataclass

from benchmarks.bench import EXPERIMENT, SPACE, Bench
from benchmarks.processes import run_command
from benchmarks.rows import Result, find_row
from benchmarks.timing import interleave, spread

_NUM_WORKERS = 2
_TOLERANCE = 1e-3
"""Largest relative difference at which two best values count as equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    num_trials: int
    seconds: float
    start_seconds: float
    """Time before the first trial: imports and checks."""
    best: float
    """Lowest validation MAE."""
    peak_mb: float
    """Peak memory of the process that trains models, or of the largest worker."""

    @property
    def trials_per_hour(self) -> float:
        return 3600 * self.num_trials / self.seconds

    @property
    def seconds_per_trial(self) -> float:
        return (self.seconds - self.start_seconds) / self.num_trials


def measure(bench: Bench) -> list[Result]:
    """Run the loop, then the search. A further repeat has another seed."""
    loops: list[_Search] = []

    def run_loop() -> _Search:
        loops.append(_run_loop(bench, seed=len(loops)))
        return loops[-1]

    def run_search() -> _Search:
        return _run_search(bench, seconds=loops[-1].seconds, seed=len(loops) - 1)

    rounds = interleave(
        {"rival": run_loop, "ours": run_search},
        max_repeats=bench.sizes.max_repeats,
        budget_seconds=bench.sizes.budget_seconds["search"],
    )
    searches = [each["ours"] for each in rounds]
    pairs = list(zip(loops, searches, strict=True))
    counts = "; ".join(
        f"{search.num_trials} against {loop.num_trials} trials in {loop.seconds:.0f} s, best "
        f"validation MAE {search.best:.5f} against {loop.best:.5f}"
        for loop, search in pairs
    )
    ratio = spread([loop.seconds_per_trial / search.seconds_per_trial for loop, search in pairs])
    note = f"{counts}. Without the time before the first trial: {ratio.median:.2f} ×."
    worse = any(search.best > loop.best * (1 + _TOLERANCE) for loop, search in pairs)
    return [
        Result(
            row=find_row("search"),
            ours=[each.trials_per_hour for each in searches],
            rival=[each.trials_per_hour for each in loops],
            note=note,
            failure="The best value is worse than that of the rival." if worse else "",
        ),
        Result(
            row=find_row("memory/search_worker"),
            ours=[each.peak_mb for each in searches],
            rival=[each.peak_mb for each in loops],
        ),
    ]


def _run_loop(bench: Bench, *, seed: int) -> _Search:
    num_trials = bench.sizes.num_loop_trials
    finished = run_command(
        (
            *("-m", "benchmarks.rivals.optuna_loop", "--config", EXPERIMENT, "--space", SPACE),
            *("--features_dir", bench.pair_dir.absolute()),
            *("--num_trials", num_trials, "--seed", seed),
        ),
        work_dir=bench.work_dir,
        watches_memory=True,
    )
    best, first_trial_began = map(float, finished.output.split())
    return _Search(
        num_trials=num_trials,
        seconds=finished.seconds,
        start_seconds=first_trial_began - finished.began,
        best=best,
        peak_mb=finished.peak_mb,
    )


def _run_search(bench: Bench, *, seconds: float, seed: int) -> _Search:
    run_dir = bench.new_run_dir()
    finished = run_command(
        (
            *("-m", "pipeline", "search", "--config", EXPERIMENT, "--space", SPACE),
            *("--features_dir", bench.pair_dir.absolute(), "--run_dir", run_dir),
            *("--seed", seed, "--num_workers", _NUM_WORKERS, "--num_trials", 1000),
        ),
        work_dir=bench.work_dir,
        watches_memory=True,
        stop_after=seconds,
    )
    study = json.loads((run_dir / "search" / "study.json").read_text("utf-8"))
    in_time = [
        trial
        for trial in study["trials"]
        if trial["state"] in ("COMPLETE", "PRUNED")
        and trial["started_ms"] / 1000 + trial["seconds"] <= finished.began + seconds
    ]
    values = [trial["values"][0] for trial in in_time if trial["values"]]
    if not values:
        raise RuntimeError(
            f"{run_dir}: no trial was complete after {seconds:.0f} s. Increase `num_loop_trials` "
            "in benchmarks/bench.py, so that the search runs longer."
        )
    return _Search(
        num_trials=len(in_time),
        seconds=seconds,
        start_seconds=min(trial["started_ms"] for trial in in_time) / 1000 - finished.began,
        best=min(values),
        peak_mb=finished.peak_child_mb,
    )
