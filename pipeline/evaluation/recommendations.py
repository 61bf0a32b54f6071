"""What would make the next run faster: advice that the measurements of this run support.

Every recommendation carries the numbers that it rests on. Where nothing stands out,
there is none.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.core.files import write_json, write_text
from pipeline.evaluation.advice import MeasuredRun, Recommendation
from pipeline.evaluation.run_rules import late_stop, long_validation, short_run, tensorboard
from pipeline.evaluation.step_rules import many_calls, slow_input, small_batches, uneven_steps
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs

JSON_FILE: Final = "training_speedup_recommendations.json"
TEXT_FILE: Final = "training_speedup_recommendations.txt"

RULES: Final[tuple[Callable[[MeasuredRun], Recommendation | None], ...]] = (
    slow_input,
    many_calls,
    small_batches,
    uneven_steps,
    long_validation,
    late_stop,
    short_run,
    tensorboard,
)
"""The rules; what they find is sorted by its gain."""


def recommendations(
    time_logs: TimeLogs,
    history: MetricsHistory,
    config: Mapping[str, Any],
    *,
    num_train_clips: int | None = None,
) -> tuple[Recommendation, ...]:
    """Return what would make a run like this one faster, the largest gain first.

    Args:
        time_logs: The times of the run.
        history: The history of the run.
        config: The run's configuration, nested as in `config.yaml`.
        num_train_clips: Clips in the training split; without it nothing is said on batches.

    Returns:
        No recommendations where no measurement suggests one.

    Raises:
        RunError: If the configuration lacks a setting.
    """
    run = MeasuredRun(
        times=time_logs,
        history=history,
        config=config,
        num_train_clips=num_train_clips,
    )
    if run.times.num_epochs == 0:
        return ()
    found = [recommendation for rule in RULES if (recommendation := rule(run)) is not None]
    return tuple(sorted(found, key=lambda recommendation: -recommendation.gain_seconds))


def save_recommendations(output_dir: Path, found: Sequence[Recommendation]) -> tuple[Path, Path]:
    """Write recommendations as JSON and as text, each file atomically.

    Args:
        output_dir: Usually `training_time_analysis` in the run directory.
        found: The recommendations; the files say so where there are none.

    Returns:
        The JSON file and the text file.
    """
    json_path, text_path = output_dir / JSON_FILE, output_dir / TEXT_FILE
    write_json(json_path, [recommendation.to_json() for recommendation in found])
    write_text(text_path, recommendations_text(found))
    return json_path, text_path


def recommendations_text(found: Sequence[Recommendation]) -> str:
    """Return recommendations as text for people."""
    if not found:
        return "Nothing stands out: no measurement of this run suggests a faster setting.\n"
    return "\n".join(
        f"{number}. {item.issue}\n"
        f"   Measured: {item.details}\n"
        f"   Advice:   {item.advice}\n"
        f"   Gain:     {item.expected_gain}\n"
        for number, item in enumerate(found, start=1)
    )
