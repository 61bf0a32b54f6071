"""Speed advice: settings that would make the next run faster, derived from measured times."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.files import write_json, write_text
from pipeline.core.number_format import duration, percent
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs

_FILE_NAME: Final = "training_speedup_recommendations"
_NOT_MEASURED: Final = ("gain_seconds", "new")


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One recommendation for a faster run."""

    issue: str
    """Short description of the problem."""
    details: str
    """Description of the measured values."""
    evidence: Mapping[str, float]
    """Name -> measured value: times in seconds, shares in [0, 1]."""
    recommendation: str
    """Recommended change. Settings have dotted names, e.g. `training.cache`."""
    expected_gain: str
    """Description of the time that can be saved."""
    gain_seconds: float
    """Maximum time that the change would save in the same run, in seconds.

    This value is not written to the JSON file.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    times: TimeLogs
    history: MetricsHistory
    config: ExperimentConfig
    num_train_clips: int | None


_Facts = dict[str, Any]
"""Name -> measured value. `share` is compared with `min_share`; `new` is the advised value."""


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """One kind of recommendation.

    `details`, `recommendation` and `expected_gain` are format strings. They are filled with the
    facts, the total time of the run (`run_seconds`) and the monitored metric (`monitor`).
    """

    measure: Callable[[_Run], _Facts | None]
    """Function that returns the facts, or None if the rule does not apply to the run."""
    min_share: float
    """The rule applies only if the fact `share` is larger than this threshold."""
    issue: str
    details: str
    recommendation: str
    expected_gain: str = "up to {gain_seconds} of {run_seconds}."

    def apply(self, run: _Run) -> Recommendation | None:
        facts = self.measure(run)
        if facts is None or facts["share"] <= self.min_share:
            return None
        context = {
            "run_seconds": run.times.total_seconds,
            "monitor": run.config.training.monitor,
        }
        texts = {name: _text(name, value) for name, value in (facts | context).items()}
        evidence = {name: fact for name, fact in facts.items() if name not in _NOT_MEASURED}
        return Recommendation(
            issue=self.issue,
            details=self.details.format(**texts),
            evidence=evidence,
            recommendation=self.recommendation.format(**texts),
            expected_gain=self.expected_gain.format(**texts),
            gain_seconds=facts["gain_seconds"],
        )


def _slow_input(run: _Run) -> _Facts | None:
    if run.config.training.cache != "disk":
        return None
    waited = run.times.breakdown.get("input", float(run.times.usual_waits.sum()))
    facts = _loss("wait_seconds", waited, "train_seconds", _steady_seconds(run.times))
    return facts | {"new": "memory"}


def _many_calls(run: _Run) -> _Facts | None:
    """Measure the extra wait before each call of the compiled graph.

    The extra wait is the wait before a call minus the median wait between the steps of one call. If
    each call has one step, this median is taken as 0. The first step of an epoch is ignored,
    because its wait includes the start of the epoch.
    """
    waits, per_call = run.times.waits_by_epoch, run.config.training.steps_per_execution
    num_steps = waits.shape[1]
    if per_call >= num_steps:
        return None
    if per_call == 1 and run.config.training.cache == "disk":
        return None  # The disk may cause the waits, so the cost of the calls is unknown.
    in_call = np.arange(num_steps) % per_call
    inner = waits[:, in_call > 0]
    usual = float(np.median(inner)) if inner.size else 0.0
    lost = float(np.maximum(waits[:, in_call == 0][:, 1:] - usual, 0.0).sum())
    facts = _loss("between_calls_seconds", lost, "train_seconds", _steady_seconds(run.times))
    num_calls = math.ceil(num_steps / per_call)
    return facts | {"calls_per_epoch": num_calls, "per_call": per_call, "new": num_steps}


def _small_batches(run: _Run) -> _Facts | None:
    """Estimate the fixed cost of a training step: the step time, extrapolated to zero clips.

    The linear extrapolation uses two median times: that of full steps, and that of the last step
    of each epoch. The last step has fewer clips.
    """
    steps, batch_size = run.times.steps_by_epoch, run.config.training.batch_size
    num_clips = run.num_train_clips
    if num_clips is None or len(steps) < 4 or steps.shape[1] < 2:
        return None
    num_last = num_clips % batch_size
    if math.ceil(num_clips / batch_size) != steps.shape[1] or not 0 < num_last <= batch_size / 2:
        return None
    full, last = float(np.median(steps[1:, :-1])), float(np.median(steps[1:, -1]))
    per_clip = max(0.0, full - last) / (batch_size - num_last)
    fixed = max(0.0, full - per_clip * batch_size)
    return _loss("fixed_seconds", fixed, "full_step_seconds", full) | {
        "gain_seconds": fixed * steps.size / 2,
        "last_step_seconds": last,
        "clips_in_last_step": num_last,
        "batch_size": batch_size,
        "new": 2 * batch_size,
    }


def _uneven_steps(run: _Run) -> _Facts | None:
    steps = run.times.steps_by_epoch
    steps = steps[1:, :-1] if len(steps) > 1 else steps[:, 1:-1]
    if steps.size < 20:
        return None
    median, p95 = (float(value) for value in np.percentile(steps, (50, 95)))
    lost = float(np.maximum(steps - median, 0.0).sum())
    facts = _loss("beyond_median_seconds", lost, "steps_seconds", float(steps.sum()))
    return facts | {"median_step_seconds": median, "p95_step_seconds": p95}


def _long_validation(run: _Run) -> _Facts:
    times = run.times
    steady = slice(1, None) if times.num_epochs > 1 else slice(None)
    validation, train = (
        float(part[steady].sum()) for part in (times.validation_times, times.epoch_times)
    )
    total = float(times.validation_times.sum())
    return {
        "share": _share(validation, validation + train),
        "gain_seconds": total / 2,
        "validation_seconds": total,
        "fraction": run.config.data.validation_fraction,
    }


def _late_stop(run: _Run) -> _Facts | None:
    scores, num_epochs = _monitored_scores(run), run.times.num_epochs
    if scores is None or len(scores) != num_epochs or num_epochs < 4:
        return None
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(scores)[:-1]])
    improved = np.flatnonzero(scores > best_before)
    best_epoch = int(improved[-1]) + 1
    # With this patience, training would still have reached the best epoch.
    patience = int(max(2, np.diff(improved).max(initial=0)))
    num_saved = num_epochs - best_epoch - patience
    is_set = 0 < run.config.training.early_stopping_patience <= patience
    if best_epoch > num_epochs / 2 or num_saved < 1 or is_set:
        return None
    gain = num_saved * run.times.median_epoch
    return {
        "share": _share(gain, run.times.total_seconds),
        "gain_seconds": gain,
        "best_epoch": best_epoch,
        "num_epochs": num_epochs,
        "epochs_without_improvement": num_epochs - best_epoch,
        "median_epoch_seconds": run.times.median_epoch,
        "spared": num_saved,
        "new": patience,
    }


def _short_run(run: _Run) -> _Facts:
    times = run.times
    num_epochs, start = times.num_epochs, times.start_seconds
    return _loss("start_seconds", start, "total_seconds", times.total_seconds) | {
        "median_epoch_seconds": times.median_epoch,
        "epoch_now_seconds": times.total_seconds / num_epochs,
        "epoch_twice_seconds": (times.total_seconds - start / 2) / num_epochs,
    }


def _tensorboard(run: _Run) -> _Facts | None:
    if not run.config.training.tensorboard:
        return None
    parts = run.times.breakdown
    measured = sum(parts.values())
    facts = _loss("callbacks_seconds", parts.get("callbacks", 0.0), "measured_seconds", measured)
    return facts | {"new": False}


_RULES: Final = (
    _Rule(
        measure=_slow_input,
        min_share=0.15,
        issue="Steps wait for their input",
        details="Steps waited for batches from the disk during {wait_seconds} of {train_seconds} "
        "of training ({share}).",
        recommendation="Keep the features in memory: training.cache=memory.",
        expected_gain="up to {gain_seconds} of {run_seconds}, if the features fit in memory.",
    ),
    _Rule(
        measure=_many_calls,
        min_share=0.10,
        issue="Many calls into the graph",
        details="The waits between the {calls_per_epoch} calls per epoch ({per_call} steps each) "
        "took {between_calls_seconds} of {train_seconds} of training ({share}).",
        recommendation="Run a whole epoch in one call: training.steps_per_execution={new}. "
        "The values of each step are still recorded.",
    ),
    _Rule(
        measure=_small_batches,
        min_share=0.50,
        issue="Batches are small",
        details="The median step with {batch_size} clips took {full_step_seconds}, with "
        "{clips_in_last_step} clips {last_step_seconds}: {share} of a step does not depend on the "
        "number of clips.",
        recommendation="Use larger batches: training.batch_size={new}. Larger batches can change "
        "the scores: compare them, and try a higher learning rate.",
        expected_gain="up to {gain_seconds} of {run_seconds}, the fixed cost of half the steps.",
    ),
    _Rule(
        measure=_uneven_steps,
        min_share=0.25,
        issue="Steps take uneven time",
        details="The median step took {median_step_seconds}, the 95th percentile "
        "{p95_step_seconds}; {share} of the step time is above the median.",
        recommendation="Other programs probably used the machine: run fewer jobs at a time, or "
        "use fewer search workers.",
    ),
    _Rule(
        measure=_long_validation,
        min_share=0.30,
        issue="Validation takes long",
        details="Validation took {share} of an epoch, and {validation_seconds} in the whole run.",
        recommendation="Hold out fewer clips for validation (data.validation_fraction, now "
        "{fraction}, or the split column of the clip table). The intervals will then be wider.",
        expected_gain="{gain_seconds} of {run_seconds} with half as many validation clips.",
    ),
    _Rule(
        measure=_late_stop,
        min_share=0.0,
        issue="Training goes on without improving",
        details="Epoch {best_epoch} of {num_epochs} was the best by {monitor}. The "
        "{epochs_without_improvement} epochs after it gave no improvement.",
        recommendation="Stop early: training.early_stopping_patience={new} would have given the "
        "same best epoch. Other seeds can improve at other epochs, so use a slightly larger value.",
        expected_gain="{gain_seconds} of {run_seconds}: {spared} epochs of {median_epoch_seconds} "
        "(median).",
    ),
    _Rule(
        measure=_short_run,
        min_share=0.30,
        issue="Starting up dominates the run",
        details="Start-up and graph tracing took {start_seconds} of {total_seconds} ({share}), "
        "once per run.",
        recommendation="Train one longer run (training.num_epochs) instead of several short runs. "
        "Measure the speed after the first epoch.",
        expected_gain="with twice as many epochs, an epoch takes {epoch_twice_seconds} instead of "
        "{epoch_now_seconds}, start-up included.",
    ),
    _Rule(
        measure=_tensorboard,
        min_share=0.15,
        issue="Callbacks take long",
        details="Callbacks, including TensorBoard, took {callbacks_seconds} of "
        "{measured_seconds} ({share}).",
        recommendation="Disable TensorBoard: training.tensorboard=false. MLflow shows the same "
        "curves.",
    ),
)


def recommendations(
    time_logs: TimeLogs,
    history: MetricsHistory,
    config: ExperimentConfig,
    *,
    num_train_clips: int | None = None,
) -> tuple[Recommendation, ...]:
    """Return recommendations for a faster run, sorted by descending gain.

    `num_train_clips` is None if it is unknown.
    """
    if not time_logs.num_epochs:
        return ()
    run = _Run(times=time_logs, history=history, config=config, num_train_clips=num_train_clips)
    found = [advice for rule in _RULES if (advice := rule.apply(run)) is not None]
    return tuple(sorted(found, key=lambda advice: -advice.gain_seconds))


def save_recommendations(output_dir: Path, found: Sequence[Recommendation]) -> None:
    """Write the recommendations atomically to a JSON file and a text file."""
    entries = [
        {name: value for name, value in asdict(item).items() if name != "gain_seconds"}
        for item in found
    ]
    write_json(output_dir / f"{_FILE_NAME}.json", entries)
    items = [
        f"{position}. {item.issue}\n"
        f"   Measured: {item.details}\n"
        f"   Advice:   {item.recommendation}\n"
        f"   Gain:     {item.expected_gain}\n"
        for position, item in enumerate(found, start=1)
    ]
    nothing = "The measured times do not suggest a faster setting.\n"
    write_text(output_dir / f"{_FILE_NAME}.txt", "\n".join(items) or nothing)


def _monitored_scores(run: _Run) -> FloatArray | None:
    """Return the monitored metric of each epoch, negated if smaller values are better.

    The result is None if a validation value is missing or not finite.
    """
    monitor = run.config.training.monitor
    scores = run.history.epoch.validation(monitor)
    if not scores.size or not np.isfinite(scores).all():
        return None
    return scores if HIGHER_IS_BETTER.get(monitor, False) else -scores


def _steady_seconds(times: TimeLogs) -> float:
    """Return the training time without the start-up, in seconds."""
    return float(times.epoch_times.sum()) - times.start_seconds


def _loss(part: str, seconds: float, whole: str, whole_seconds: float) -> _Facts:
    """Return the facts about one part of a duration. The possible gain is the whole part."""
    share = _share(seconds, whole_seconds)
    return {part: seconds, whole: whole_seconds, "share": share, "gain_seconds": seconds}


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _text(name: str, value: Any) -> Any:
    if name.endswith("_seconds"):
        return duration(value)
    return percent(value) if name == "share" else value
