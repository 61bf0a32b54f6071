import json

import pytest

from pipeline.config.schema import ExperimentConfig, TrainingConfig
from pipeline.evaluation.speed_advice import recommendations, save_recommendations
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content

INPUT = "Steps wait for their input"
CALLS = "Many calls into the graph"
BATCHES = "Batches are small"
UNEVEN = "Steps take uneven time"
VALIDATION = "Validation takes long"
LATE = "Training goes on without improving"
START = "Starting up dominates the run"
CALLBACKS = "Callbacks take long"

NUMBERS = list(range(1, 101))
SLOW_DISK = {"batch_wait_times": [0.03] * 100, "epoch_times": [1.3] * 10}
LONG_INPUT = {"breakdown": {"input": 6.0}}
SLOW_CALLS = {"batch_wait_times": [*[0.01] * 5, 0.31, *[0.01] * 4] * 10}
PARTLY_LOGGED = SLOW_CALLS | {"batch_numbers": [2 * number for number in NUMBERS]}
TRACING = {"batch_wait_times": [6.0, *[0.01] * 99]}
SLOW_EPOCH_START = {"batch_wait_times": [0.31, *[0.01] * 9] * 10}
# 9 steps of 32 clips take 0.1 s, and one step of 8 clips takes 0.085 s: the fixed cost is 0.08 s.
SMALL_LAST_STEP = {"batch_times": [*[0.1] * 9, 0.085] * 10}
PROPORTIONAL_STEPS = {"batch_times": [*[0.1] * 9, 0.03] * 10}
SLOW_STEPS = {"batch_times": [*[0.1] * 8, 0.5, 0.1] * 10}
SLOW_FIRST_EPOCH = {"batch_times": [*[5.0] * 10, *[0.1] * 90]}
LONG_VALIDATION = {"validation_times": [1.1] * 10}
ONE_EPOCH = {"epoch_times": [1.1], "validation_times": [1.1]}
LONG_START = {"epoch_times": [13.1, *[1.1] * 9]}
SLOW_CALLBACKS = {"breakdown": {"step": 8.0, "callbacks": 2.0}}
# The best is epoch 4, two epochs after the last improvement: patience 2 saves 4 of 10 epochs.
EARLY_BEST = [0.5, 0.4, 0.45, 0.3, *[0.35] * 6]
EARLY_CCC, EARLY_LOSS = [0.1, 0.5, *[0.3] * 8], [0.5, 0.1, *[0.3] * 8]

FOUND = [
    (INPUT, {"logs": SLOW_DISK, "cache": "disk"}, {"wait_seconds": 2.97}, 2.97),
    (INPUT, {"logs": LONG_INPUT, "cache": "disk"}, {"wait_seconds": 6.0}, 6.0),
    (CALLS, {"logs": SLOW_CALLS}, {"between_calls_seconds": 3.0, "calls_per_epoch": 2}, 3.0),
    (CALLS, {"logs": SLOW_DISK, "steps_per_execution": 1}, {"calls_per_epoch": 10}, 90 * 0.03),
    (BATCHES, {"logs": SMALL_LAST_STEP, "num_train_clips": 296}, {"share": 0.8}, 0.08 * 100 / 2),
    (UNEVEN, {"logs": SLOW_STEPS}, {"p95_step_seconds": 0.5}, 9 * 0.4),
    (VALIDATION, {"logs": LONG_VALIDATION}, {"validation_seconds": 11.0, "share": 0.5}, 5.5),
    (VALIDATION, {"logs": ONE_EPOCH}, {"validation_seconds": 1.1, "share": 0.5}, 0.55),
    (LATE, {"mae": EARLY_BEST}, {"best_epoch": 4, "epochs_without_improvement": 6}, 4 * 1.2),
    (LATE, {"mae": EARLY_BEST, "early_stopping_patience": 5}, {"best_epoch": 4}, 4 * 1.2),
    (LATE, {"ccc": EARLY_CCC, "monitor": "ccc"}, {"best_epoch": 2}, 6 * 1.2),
    (LATE, {"loss": EARLY_LOSS, "monitor": "loss"}, {"best_epoch": 2}, 6 * 1.2),
    (START, {"logs": LONG_START}, {"start_seconds": 12.0, "epoch_twice_seconds": 1.8}, 12.0),
    (CALLBACKS, {"logs": SLOW_CALLBACKS, "tensorboard": True}, {"callbacks_seconds": 2.0}, 2.0),
]

SETTINGS = {
    INPUT: "training.cache=memory",
    CALLS: "training.steps_per_execution=10",
    BATCHES: "training.batch_size=64",
    LATE: "training.early_stopping_patience=2",
    CALLBACKS: "training.tensorboard=false",
}

NO_ADVICE = {
    "a run without problems": {"num_train_clips": 310},
    "features in memory": {"logs": SLOW_DISK, "cache": "memory"},
    "short waits": {"cache": "disk"},
    "one long wait for tracing": {"logs": TRACING, "cache": "disk"},
    "one call per epoch": {"logs": SLOW_CALLS, "steps_per_execution": 10},
    "waits at the start of an epoch": {"logs": SLOW_EPOCH_START},
    "steps that were not all logged": {"logs": PARTLY_LOGGED},
    "steps proportional to their clips": {"logs": PROPORTIONAL_STEPS, "num_train_clips": 296},
    "no small last batch": {"logs": SMALL_LAST_STEP, "num_train_clips": 320},
    "another number of steps": {"logs": SMALL_LAST_STEP, "num_train_clips": 900},
    "an unknown number of clips": {"logs": SMALL_LAST_STEP},
    "a slow first epoch": {"logs": SLOW_FIRST_EPOCH},
    "one long validation": {"logs": {"validation_times": [3.0, *[0.1] * 9]}},
    "the best epoch in the second half": {"mae": [0.5, *[0.4] * 4, 0.3, *[0.35] * 4]},
    "a history of another length": {"mae": [0.5, 0.4, 0.3], "loss": [0.5] * 3},
    "a missing score": {"mae": [None, 0.4, *[0.5] * 8]},
    "no validation": {"mae": []},
    "the same patience": {"mae": EARLY_BEST, "early_stopping_patience": 2},
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
    training = {"cache": "memory", "steps_per_execution": 5, "monitor": "mae"} | training
    training = {"batch_size": 32, "early_stopping_patience": 0} | training
    epochs = list(range(1, max(map(len, (mae, ccc, loss))) + 1))
    scores = {name: values for name, values in (("mae", mae), ("ccc", list(ccc))) if len(values)}
    history = {"epoch_numbers": epochs, "val_loss": loss, "val_metrics": scores}
    return recommendations(
        check_content(TimeLogs, time_logs | (logs or {})),
        check_content(MetricsHistory, {"epoch": history}),
        ExperimentConfig(training=TrainingConfig(**training)),
        num_train_clips=num_train_clips,
    )


@pytest.mark.parametrize(("issue", "run", "evidence", "gain"), FOUND)
def test_slow_parts_are_found(issue, run, evidence, gain):
    found = {advice.issue: advice for advice in advise(**run)}[issue]
    assert {name: found.evidence[name] for name in evidence} == pytest.approx(evidence)
    assert found.gain_seconds == pytest.approx(gain)
    if run.get("monitor") is None and "early_stopping_patience" not in run:
        assert SETTINGS.get(issue, "") in found.recommendation


@pytest.mark.parametrize("run", NO_ADVICE.values(), ids=NO_ADVICE)
def test_other_runs_get_no_advice(run):
    assert advise(**run) == ()


def test_waits_with_single_steps_are_attributed_to_the_disk_only():
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


@pytest.mark.parametrize("scores", [EARLY_BEST, [0.5, 0.6, 0.6, 0.4, 0.3, *[0.35] * 5]])
def test_the_advised_patience_keeps_the_best_epoch(scores):
    (found,) = advise(mae=scores)
    patience = int(found.recommendation.partition("patience=")[2].split()[0])
    waits = [epoch - scores.index(min(scores[:epoch])) for epoch in range(1, len(scores))]
    last = waits.index(patience + 1) + 1  # the rule of Keras
    assert min(scores[:last]) == min(scores)
    assert last < len(scores)


def test_the_files_have_fixed_names_and_keys(tmp_path):
    found = advise(logs=SLOW_DISK, cache="disk", mae=EARLY_BEST)
    save_recommendations(tmp_path, found)
    first, _ = json.loads((tmp_path / "training_speedup_recommendations.json").read_text())
    assert set(first) == {"issue", "details", "evidence", "recommendation", "expected_gain"}
    text = (tmp_path / "training_speedup_recommendations.txt").read_text()
    assert f"2. {found[1].issue}" in text


def test_no_advice_is_written_too(tmp_path):
    save_recommendations(tmp_path, ())
    assert json.loads((tmp_path / "training_speedup_recommendations.json").read_text()) == []
    assert (tmp_path / "training_speedup_recommendations.txt").read_text()
