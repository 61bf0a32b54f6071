"""Advice on a run as a whole: its start, its validation, its callbacks, and when to stop.

A rule returns None where its measurement is missing, or within bounds.

Shapes: E epochs.
"""

from typing import Final

import numpy as np

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.evaluation.advice import MeasuredRun, Recommendation, percent, share_of, written
from pipeline.metrics.regression import HIGHER_IS_BETTER

VALIDATION_SHARE: Final = 0.30
"""Share of an epoch above which its validation is worth shortening."""

START_SHARE: Final = 0.30
"""Share of the run above which starting up dominates it."""

CALLBACK_SHARE: Final = 0.15
"""Share of the run in callbacks above which TensorBoard's are worth leaving out."""


def long_validation(run: MeasuredRun) -> Recommendation | None:
    """Advise fewer validation clips where validation takes a large part of each epoch."""
    times = run.times
    steady = slice(1, None) if times.num_epochs > 1 else slice(None)
    validated = float(times.validation_times[steady].sum())
    whole = validated + float(times.epoch_times[steady].sum())
    share = share_of(validated, whole)
    if share <= VALIDATION_SHARE:
        return None
    total = float(times.validation_times.sum())
    fraction = run.setting("data.validation_fraction")
    return Recommendation(
        issue="Validation takes long",
        details=f"Validation took {percent(share)} of an epoch, {written(total)} over the run.",
        evidence={"validation_seconds": total, "share": share},
        advice="Hold out fewer clips for validation "
        f"(data.validation_fraction, now {fraction}; or the clip table's split column). "
        "Fewer clips make the intervals wider.",
        gain_seconds=total / 2,
        expected_gain=f"{written(total / 2)} of {written(times.total_seconds)} with half as many "
        "clips, as the time goes with their number.",
    )


def late_stop(run: MeasuredRun) -> Recommendation | None:
    """Advise to stop early where the best epoch came in the first half of the run."""
    times, scores = run.times, _monitored(run)
    if scores is None or len(scores) != times.num_epochs or len(scores) < 4:
        return None
    improved = _improvements(scores)
    best_epoch = int(improved[-1]) + 1
    # With this patience every improvement up to the best epoch would have been waited for.
    patience = int(max(2, np.diff(improved).max(initial=0)))
    spared = times.num_epochs - best_epoch - patience
    is_set = 0 < int(run.setting("training.early_stopping_patience")) <= patience
    if best_epoch > times.num_epochs / 2 or spared < 1 or is_set:
        return None
    gain = spared * times.median_epoch
    return Recommendation(
        issue="Training goes on without improving",
        details=f"The best of {times.num_epochs} epochs by {run.setting('training.monitor')} was "
        f"epoch {best_epoch}; the {times.num_epochs - best_epoch} after it brought nothing.",
        evidence={
            "best_epoch": best_epoch,
            "num_epochs": times.num_epochs,
            "epochs_without_improvement": times.num_epochs - best_epoch,
            "median_epoch_seconds": times.median_epoch,
        },
        advice=f"Stop early: training.early_stopping_patience={patience} would have kept this "
        "best epoch. With other seeds the way there differs: give it some more.",
        gain_seconds=gain,
        expected_gain=f"{written(gain)} of {written(times.total_seconds)}: {spared} epochs of "
        f"{written(times.median_epoch)} in the median.",
        overrides={"training.early_stopping_patience": patience},
    )


def short_run(run: MeasuredRun) -> Recommendation | None:
    """Advise longer runs where starting up is a large part of this one."""
    times = run.times
    start = times.start_seconds
    share = share_of(start, times.total_seconds)
    if share <= START_SHARE:
        return None
    rest = times.total_seconds - start
    now = times.total_seconds / times.num_epochs
    twice = (start + 2 * rest) / (2 * times.num_epochs)
    return Recommendation(
        issue="Starting up dominates the run",
        details=f"{written(start)} of {written(times.total_seconds)} ({percent(share)}) went into "
        "starting up and tracing the graph, which is paid once a run.",
        evidence={
            "start_seconds": start,
            "total_seconds": times.total_seconds,
            "share": share,
            "median_epoch_seconds": times.median_epoch,
        },
        advice="Train longer in one go (training.num_epochs) rather than in several short runs, "
        "and judge speed by the epochs after the first.",
        gain_seconds=start,
        expected_gain=f"an epoch costs {written(twice)} instead of {written(now)}, start-up "
        "included, in a run of twice as many; each run spared saves the start-up.",
    )


def tensorboard(run: MeasuredRun) -> Recommendation | None:
    """Advise to leave TensorBoard out where its logs are written and callbacks take long."""
    times = run.times
    seconds, measured = times.breakdown.get("callbacks", 0.0), sum(times.breakdown.values())
    share = share_of(seconds, measured)
    if share <= CALLBACK_SHARE or not run.setting("training.tensorboard"):
        return None
    return Recommendation(
        issue="Callbacks take long",
        details=f"{written(seconds)} of {written(measured)} measured ({percent(share)}) went "
        "into callbacks, TensorBoard's among them.",
        evidence={"callbacks_seconds": seconds, "measured_seconds": measured, "share": share},
        advice="Leave TensorBoard out: training.tensorboard=false. MLflow has the same curves.",
        gain_seconds=seconds,
        expected_gain=f"up to {written(seconds)} of {written(measured)}.",
        overrides={"training.tensorboard": False},
    )


def _monitored(run: MeasuredRun) -> FloatArray | None:
    """Return the score that decides the best epoch, larger is better; None without validation."""
    monitor = str(run.setting("training.monitor"))
    scores = run.history.epoch.validation(monitor)
    if not scores.size or not np.isfinite(scores).all():
        return None
    return scores if HIGHER_IS_BETTER.get(monitor, False) else -scores


def _improvements(scores: FloatArray) -> IntArray:
    """Return the positions of the epochs that were better than all before them."""
    before = np.concatenate([[-np.inf], np.maximum.accumulate(scores)[:-1]])
    return np.flatnonzero(scores > before)
