"""Advice on the steps of a run: their input, their calls, their batches, their regularity.

A rule returns None where its measurement is missing, or within bounds.

Shapes: E epochs, S steps an epoch.
"""

import math
from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.evaluation.advice import MeasuredRun, Recommendation, percent, share_of, written

INPUT_SHARE: Final = 0.15
"""Share of the training time spent waiting for batches above which reading is too slow."""

DISPATCH_SHARE: Final = 0.10
"""Share of the training time lost between calls into the graph above which there are too many."""

FIXED_SHARE: Final = 0.50
"""Share of a step that does not depend on its clips above which batches are too small."""

UNEVEN_SHARE: Final = 0.25
"""Share of the step time beyond the median step above which the machine is disturbed."""


def slow_input(run: MeasuredRun) -> Recommendation | None:
    """Advise to hold the features in memory where steps wait for the disk."""
    times = run.times
    if run.setting("training.cache") != "disk":
        return None
    waited = times.breakdown.get("input", float(times.usual_waits.sum()))
    trained = float(times.epoch_times.sum()) - times.start_seconds
    share = share_of(waited, trained)
    if share <= INPUT_SHARE:
        return None
    return Recommendation(
        issue="Steps wait for their input",
        details=f"{written(waited)} of {written(trained)} of training ({percent(share)}) went by "
        "waiting for batches read from disk.",
        evidence={"wait_seconds": waited, "train_seconds": trained, "share": share},
        advice="Hold the features in memory: training.cache=memory.",
        gain_seconds=waited,
        expected_gain=f"up to {written(waited)} of {written(times.total_seconds)}, if the features "
        "fit into memory.",
        overrides={"training.cache": "memory"},
    )


def many_calls(run: MeasuredRun) -> Recommendation | None:
    """Advise fewer calls into the graph where time is lost between them."""
    times, per_call = run.times, int(run.setting("training.steps_per_execution"))
    num_steps = times.steps_per_epoch
    if per_call >= num_steps or not times.waits_by_epoch.size:
        return None
    if per_call == 1 and run.setting("training.cache") == "disk":
        return None  # a wait may be the disk's as well as the call's
    lost = _seconds_between_calls(times.waits_by_epoch, per_call)
    trained = float(times.epoch_times.sum()) - times.start_seconds
    share = share_of(lost, trained)
    if share <= DISPATCH_SHARE:
        return None
    num_calls = math.ceil(num_steps / per_call)
    return Recommendation(
        issue="Many calls into the graph",
        details=f"{written(lost)} of {written(trained)} of training ({percent(share)}) went by "
        f"between the {num_calls} calls of an epoch, {per_call} steps each.",
        evidence={
            "between_calls_seconds": lost,
            "train_seconds": trained,
            "share": share,
            "calls_per_epoch": num_calls,
        },
        advice=f"Run a whole epoch in one call: training.steps_per_execution={num_steps}. "
        "Values per step are recorded all the same.",
        gain_seconds=lost,
        expected_gain=f"up to {written(lost)} of {written(times.total_seconds)}.",
        overrides={"training.steps_per_execution": num_steps},
    )


def small_batches(run: MeasuredRun) -> Recommendation | None:
    """Advise larger batches where a step's time hardly depends on how many clips it holds.

    The last step of an epoch holds fewer clips than the others. The line through the two
    median times, at zero clips, is what a step costs whatever it holds.
    """
    times, batch_size = run.times, int(run.setting("training.batch_size"))
    num_last = _clips_in_last_step(run, batch_size)
    if num_last is None or times.num_epochs < 4:
        return None
    full = float(np.median(times.steps_by_epoch[1:, :-1]))
    last = float(np.median(times.steps_by_epoch[1:, -1]))
    per_clip = max(0.0, full - last) / (batch_size - num_last)
    fixed = max(0.0, full - per_clip * batch_size)
    share = share_of(fixed, full)
    if share <= FIXED_SHARE:
        return None
    gain = fixed * times.steps_by_epoch.size / 2
    return Recommendation(
        issue="Batches are small",
        details=f"A step over {batch_size} clips took {written(full)} in the median, one over "
        f"{num_last} took {written(last)}: {percent(share)} of a step does not depend on "
        "its clips.",
        evidence={
            "full_step_seconds": full,
            "last_step_seconds": last,
            "clips_in_last_step": num_last,
            "share": share,
        },
        advice=f"Take larger batches: training.batch_size={2 * batch_size}. Fewer, larger steps "
        "train differently: compare the scores, and try a higher learning rate.",
        gain_seconds=gain,
        expected_gain=f"up to {written(gain)} of {written(times.total_seconds)}, the fixed cost of "
        "half the steps.",
        overrides={"training.batch_size": 2 * batch_size},
    )


def uneven_steps(run: MeasuredRun) -> Recommendation | None:
    """Advise a quieter machine where steps often take far longer than the median one."""
    times = run.times
    steps = times.steps_by_epoch[1:, :-1] if times.num_epochs > 1 else times.steps_by_epoch[:, 1:-1]
    if steps.size < 20:
        return None
    median, p95 = (float(value) for value in np.percentile(steps, (50, 95)))
    lost = float(np.maximum(steps - median, 0.0).sum())
    share = share_of(lost, float(steps.sum()))
    if share <= UNEVEN_SHARE:
        return None
    return Recommendation(
        issue="Steps take uneven time",
        details=f"A step took {written(median)} in the median and {written(p95)} at the 95th "
        f"percentile; {percent(share)} of the step time is beyond the median.",
        evidence={
            "median_step_seconds": median,
            "p95_step_seconds": p95,
            "beyond_median_seconds": lost,
            "share": share,
        },
        advice="Something else used the machine: run fewer jobs at a time, or fewer workers of a "
        "search.",
        gain_seconds=lost,
        expected_gain=f"up to {written(lost)} of {written(times.total_seconds)}.",
    )


def _seconds_between_calls(waits: FloatArray, per_call: int) -> float:
    """Return the seconds waited where a call begins, beyond the wait before any other step.

    The first step of an epoch is left out: what it waits for is the epoch's own beginning.
    """
    positions = np.arange(waits.shape[1])
    is_call = (positions % per_call == 0) & (positions > 0)
    inner = waits[:, positions % per_call != 0]
    usual = float(np.median(inner)) if inner.size else 0.0
    return float(np.maximum(waits[:, is_call] - usual, 0.0).sum())


def _clips_in_last_step(run: MeasuredRun, batch_size: int) -> int | None:
    """Return the clips in an epoch's last step; None unless they are far fewer than in others."""
    num_clips, num_steps = run.num_train_clips, run.times.steps_per_epoch
    if num_clips is None or num_steps < 2 or math.ceil(num_clips / batch_size) != num_steps:
        return None
    last = num_clips % batch_size
    return last if 0 < last <= batch_size / 2 else None
