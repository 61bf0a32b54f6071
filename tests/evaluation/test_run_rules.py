import pytest

from pipeline.evaluation.advice import MeasuredRun
from pipeline.evaluation.run_rules import late_stop, long_validation, short_run, tensorboard
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content


@pytest.fixture
def ask(orderly_run):
    """Return a function that asks a rule about the orderly run, changed."""

    def ask(rule, *, logs=None, history=None, **training):
        config = orderly_run["config"]
        config = config | {"training": config["training"] | training}
        run = MeasuredRun(
            times=check_content(TimeLogs, orderly_run["time_logs"] | (logs or {})),
            history=check_content(
                MetricsHistory, orderly_run["history"] if history is None else history
            ),
            config=config,
            num_train_clips=None,
        )
        return rule(run)

    return ask


def history_of(*maes):
    numbers = list(range(1, len(maes) + 1))
    epoch = {"val_loss": list(maes), "val_metrics": {"mae": list(maes)}}
    return {"epoch": {"epoch_numbers": numbers, **epoch}}


@pytest.mark.parametrize("rule", [late_stop, long_validation, short_run, tensorboard])
def test_an_orderly_run_gives_no_reason_for_advice(ask, rule):
    assert ask(rule) is None


def test_a_long_validation_is_answered_with_fewer_clips(ask):
    found = ask(long_validation, logs={"validation_times": [1.1] * 10})
    assert found.evidence == pytest.approx({"validation_seconds": 11.0, "share": 0.5})
    assert found.gain_seconds == pytest.approx(5.5)
    assert "now 0.2" in found.advice


def test_a_validation_that_is_long_in_the_first_epoch_only_is_no_reason(ask):
    assert ask(long_validation, logs={"validation_times": [30.0, *[0.1] * 9]}) is None


def test_epochs_after_an_early_best_one_are_answered_with_early_stopping(ask):
    # The best is epoch 4, two epochs after the improvement before it: patience 2 spares 4 of 10.
    found = ask(late_stop, history=history_of(0.5, 0.4, 0.45, 0.3, *[0.35] * 6))
    assert found.overrides == {"training.early_stopping_patience": 2}
    assert found.evidence["best_epoch"] == 4
    assert found.gain_seconds == pytest.approx(4 * 1.2)
    assert found.expected_gain == "4.8 s of 12 s: 4 epochs of 1.2 s in the median."


def test_the_patience_would_have_kept_the_best_epoch(ask):
    scores = [0.5, 0.6, 0.6, 0.4, 0.3, *[0.35] * 5]
    found = ask(late_stop, history=history_of(*scores))
    patience = found.overrides["training.early_stopping_patience"]
    best, waited, stopped = float("inf"), 0, None
    for epoch, score in enumerate(scores, start=1):  # as Keras stops
        best, waited = (score, 0) if score < best else (best, waited + 1)
        if waited >= patience:
            stopped = epoch
            break
    assert best == min(scores)
    assert stopped == 8


@pytest.mark.parametrize(
    "scores",
    [
        [0.5, 0.4, 0.4, 0.4, 0.4, 0.3, *[0.35] * 4],  # the best came in the second half
        [0.5, 0.4, 0.3],  # too short to tell, and of other length than the times
        [None, 0.4, *[0.5] * 8],  # not measured in every epoch
    ],
)
def test_there_is_no_reason_to_stop_early(ask, scores):
    assert ask(late_stop, history=history_of(*scores)) is None


def test_a_patience_that_is_set_already_is_left_alone(ask):
    history = history_of(0.5, 0.4, 0.45, 0.3, *[0.35] * 6)
    assert ask(late_stop, history=history, early_stopping_patience=2) is None
    assert ask(late_stop, history=history, early_stopping_patience=5) is not None


def test_agreement_improves_upwards(ask):
    history = {
        "epoch": {
            "epoch_numbers": list(range(1, 11)),
            "val_loss": [1] * 10,
            "val_metrics": {"ccc": [0.1, 0.5, *[0.3] * 8]},
        }
    }
    assert ask(late_stop, history=history, monitor="ccc").evidence["best_epoch"] == 2


def test_the_loss_can_decide(ask):
    history = {
        "epoch": {
            "epoch_numbers": list(range(1, 11)),
            "val_loss": [0.5, 0.1, *[0.3] * 8],
            "val_metrics": {},
        }
    }
    assert ask(late_stop, history=history, monitor="loss").evidence["best_epoch"] == 2


def test_a_run_without_validation_has_no_best_epoch(ask):
    history = {
        "epoch": {"epoch_numbers": list(range(1, 11)), "val_loss": [None] * 10, "val_metrics": {}}
    }
    assert ask(late_stop, history=history) is None
    assert ask(late_stop, history=history, monitor="loss") is None


def test_a_run_that_mostly_starts_up_is_answered_with_a_longer_one(ask):
    found = ask(short_run, logs={"epoch_times": [13.1, *[1.1] * 9]})
    assert found.evidence["start_seconds"] == pytest.approx(12.0)
    assert found.evidence["share"] == pytest.approx(0.5)
    assert found.expected_gain.startswith("an epoch costs 1.8 s instead of 2.4 s")


def test_tensorboard_that_takes_long_is_answered_by_leaving_it_out(ask):
    logs = {"breakdown": {"step": 8.0, "callbacks": 2.0}}
    found = ask(tensorboard, logs=logs, tensorboard=True)
    assert found.overrides == {"training.tensorboard": False}
    assert found.evidence["share"] == pytest.approx(0.2)


def test_callbacks_without_tensorboard_are_no_reason(ask):
    assert ask(tensorboard, logs={"breakdown": {"step": 8.0, "callbacks": 2.0}}) is None
    assert (
        ask(tensorboard, logs={"breakdown": {"step": 9.0, "callbacks": 1.0}}, tensorboard=True)
        is None
    )
