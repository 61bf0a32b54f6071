import json
from pathlib import Path

import pytest

from pipeline.config.schema import ExperimentConfig, to_dict
from pipeline.core.errors import RunError
from pipeline.evaluation.speed_advice import recommendations, save_recommendations
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content

NUMBERS = list(range(1, 101))
SLOW_DISK = {"batch_wait_times": [0.03] * 100, "epoch_times": [1.3] * 10}
SLOW_CALLS = {"batch_wait_times": [*[0.01] * 5, 0.31, *[0.01] * 4] * 10}
SMALL_LAST_STEP = {"batch_times": [*[0.1] * 9, 0.085] * 10}
SLOW_CALLBACKS = {"breakdown": {"step": 8.0, "callbacks": 2.0}}
LATE = [0.5, 0.4, 0.45, 0.3, *[0.35] * 6]

FOUND = {
    "Steps wait for their input": [
        ({"logs": SLOW_DISK, "cache": "disk"}, {"wait_seconds": 2.97, "share": 2.97 / 13}, 2.97),
        ({"logs": {"breakdown": {"input": 6.0}}, "cache": "disk"}, {"wait_seconds": 6.0}, 6.0),
    ],
    "Many calls into the graph": [
        ({"logs": SLOW_CALLS}, {"between_calls_seconds": 3.0, "calls_per_epoch": 2}, 3.0),
        ({"logs": SLOW_DISK, "steps_per_execution": 1}, {"calls_per_epoch": 10}, 90 * 0.03),
    ],
    # 9 steps of 32 clips take 0.1 s, one of 8 takes 0.085 s: the fixed cost is 0.08 s.
    "Batches are small": [
        (
            {"logs": SMALL_LAST_STEP, "num_train_clips": 296},
            {"share": 0.8, "clips_in_last_step": 8},
            0.08 * 100 / 2,
        )
    ],
    "Steps take uneven time": [
        (
            {"logs": {"batch_times": [*[0.1] * 8, 0.5, 0.1] * 10}},
            {"beyond_median_seconds": 9 * 0.4, "p95_step_seconds": 0.5},
            9 * 0.4,
        )
    ],
    "Validation takes long": [
        (
            {"logs": {"validation_times": [1.1] * 10}},
            {"validation_seconds": 11.0, "share": 0.5},
            5.5,
        )
    ],
    # The best is epoch 4, two epochs after the improvement before it: patience 2 saves 4 of 10.
    "Training goes on without improving": [
        ({"mae": LATE}, {"best_epoch": 4, "epochs_without_improvement": 6}, 4 * 1.2),
        ({"mae": LATE, "early_stopping_patience": 5}, {"best_epoch": 4}, 4 * 1.2),
        ({"ccc": [0.1, 0.5, *[0.3] * 8], "monitor": "ccc"}, {"best_epoch": 2}, 6 * 1.2),
        ({"loss": [0.5, 0.1, *[0.3] * 8], "monitor": "loss"}, {"best_epoch": 2}, 6 * 1.2),
    ],
    "Starting up dominates the run": [
        (
            {"logs": {"epoch_times": [13.1, *[1.1] * 9]}},
            {"start_seconds": 12.0, "share": 0.5, "epoch_twice_seconds": 1.8},
            12.0,
        )
    ],
    "Callbacks take long": [
        ({"logs": SLOW_CALLBACKS, "tensorboard": True}, {"callbacks_seconds": 2.0}, 2.0)
    ],
}

OVERRIDES = {
    "Steps wait for their input": {"training.cache": "memory"},
    "Many calls into the graph": {"training.steps_per_execution": 10},
    "Batches are small": {"training.batch_size": 64},
    "Training goes on without improving": {"training.early_stopping_patience": 2},
    "Callbacks take long": {"training.tensorboard": False},
}

NO_ADVICE = {
    "an orderly run": {"num_train_clips": 310},
    "memory does not help": {"logs": SLOW_DISK, "cache": "memory"},
    "short waits": {"cache": "disk"},
    "a wait that traces the graph": {
        "logs": {"batch_wait_times": [6.0, *[0.01] * 99]},
        "cache": "disk",
    },
    "an epoch in one call": {"logs": SLOW_CALLS, "steps_per_execution": 10},
    "waits at the start of an epoch": {"logs": {"batch_wait_times": [0.31, *[0.01] * 9] * 10}},
    "steps that were not all logged": {
        "logs": SLOW_CALLS | {"batch_numbers": [2 * number for number in NUMBERS]}
    },
    "steps as long as their clips": {
        "logs": {"batch_times": [*[0.1] * 9, 0.03] * 10},
        "num_train_clips": 296,
    },
    "no small last batch": {"logs": SMALL_LAST_STEP, "num_train_clips": 320},
    "batches that do not fit the steps": {"logs": SMALL_LAST_STEP, "num_train_clips": 900},
    "an unknown number of clips": {"logs": SMALL_LAST_STEP},
    "a slow first epoch": {"logs": {"batch_times": [*[5.0] * 10, *[0.1] * 90]}},
    "a long validation only once": {"logs": {"validation_times": [3.0, *[0.1] * 9]}},
    "the best epoch in the second half": {"mae": [0.5, *[0.4] * 4, 0.3, *[0.35] * 4]},
    "a history of another length": {"mae": [0.5, 0.4, 0.3], "loss": [0.5] * 3},
    "a score that is missing once": {"mae": [None, 0.4, *[0.5] * 8]},
    "no validation": {"mae": []},
    "a patience that is set already": {"mae": LATE, "early_stopping_patience": 2},
    "callbacks without TensorBoard": {"logs": SLOW_CALLBACKS},
    "no epoch": {"logs": {"epoch_times": [], "validation_times": []}},
}


def advise(logs=None, num_train_clips=None, mae=None, ccc=(), loss=None, **training):
    """Return the advice for a run of ten epochs of ten steps, with these changes."""
    time_logs = {
        "epoch_times": [1.1] * 10,
        "validation_times": [0.1] * 10,
        "batch_times": [0.1] * 100,
        "batch_wait_times": [0.01] * 100,
        "batch_numbers": NUMBERS,
    }
    scores = [0.5 - 0.01 * epoch for epoch in range(10)]
    mae, loss = (scores if values is None else values for values in (mae, loss))
    config = to_dict(ExperimentConfig())
    config["training"] |= {"cache": "memory", "steps_per_execution": 5, "monitor": "mae"}
    config["training"] |= {"batch_size": 32, "early_stopping_patience": 0} | training
    epochs = list(range(1, max(map(len, (mae, ccc, loss))) + 1))
    scores = {name: values for name, values in (("mae", mae), ("ccc", list(ccc))) if len(values)}
    history = {"epoch_numbers": epochs, "val_loss": loss, "val_metrics": scores}
    return recommendations(
        check_content(TimeLogs, time_logs | (logs or {})),
        check_content(MetricsHistory, {"epoch": history}),
        config,
        num_train_clips=num_train_clips,
    )


@pytest.mark.parametrize(
    ("issue", "run", "evidence", "gain"),
    [(issue, *case) for issue, cases in FOUND.items() for case in cases],
)
def test_slow_parts_are_found(issue, run, evidence, gain):
    found = {advice.issue: advice for advice in advise(**run)}[issue]
    assert {name: found.evidence[name] for name in evidence} == pytest.approx(evidence)
    assert found.gain_seconds == pytest.approx(gain)
    if run.get("monitor") is None and "early_stopping_patience" not in run:
        assert found.overrides == OVERRIDES.get(issue, {})


@pytest.mark.parametrize("run", NO_ADVICE.values(), ids=NO_ADVICE)
def test_other_runs_get_no_advice(run):
    assert advise(**run) == ()


def test_waits_with_single_steps_are_blamed_on_the_disk_only():
    found = advise(logs=SLOW_DISK, steps_per_execution=1, cache="disk")
    assert [advice.issue for advice in found] == ["Steps wait for their input"]


def test_texts_have_numbers_with_units():
    (found,) = advise(logs=SLOW_DISK, cache="disk")
    assert "2.97 s of 13 s" in found.details
    assert "(23 %)" in found.details


def test_the_largest_gain_comes_first():
    logs = {"validation_times": [1.0] * 10, "epoch_times": [40.0, *[1.1] * 9]}
    gains = [found.gain_seconds for found in advise(logs=logs, mae=[0.1] * 10)]
    assert len(gains) == 3
    assert gains == sorted(gains, reverse=True)
    assert all(0 < gain < 59.9 for gain in gains)


@pytest.mark.parametrize("resumed", [True, False])
def test_the_advised_patience_keeps_the_best_epoch(resumed):
    scores = [0.5, 0.6, 0.6, 0.4, 0.3, *[0.35] * 5] if resumed else LATE
    (found,) = advise(mae=scores)
    patience = found.overrides["training.early_stopping_patience"]
    best, waited, last = float("inf"), 0, len(scores)
    for epoch, score in enumerate(scores, start=1):  # as Keras stops
        best, waited = (score, 0) if score < best else (best, waited + 1)
        if waited >= patience:
            last = epoch
            break
    assert best == min(scores)
    assert last < len(scores)


def test_a_missing_setting_is_an_error():
    times, history = check_content(TimeLogs, {"epoch_times": [1.0]}), None
    with pytest.raises(RunError, match=r"config\.yaml: has no training\.cache"):
        recommendations(times, history, {"training": {}})


def test_the_files_have_fixed_names_and_keys(tmp_path: Path):
    found = advise(logs=SLOW_DISK, cache="disk", mae=LATE)
    save_recommendations(tmp_path, found)
    entries = json.loads((tmp_path / "training_speedup_recommendations.json").read_text())
    assert len(entries) == 2
    assert set(entries[0]) == {"issue", "details", "evidence", "recommendation", "expected_gain"}
    text = (tmp_path / "training_speedup_recommendations.txt").read_text()
    assert f"2. {found[1].issue}" in text


def test_no_advice_is_written_too(tmp_path: Path):
    save_recommendations(tmp_path, ())
    assert json.loads((tmp_path / "training_speedup_recommendations.json").read_text()) == []
    assert (tmp_path / "training_speedup_recommendations.txt").read_text()
