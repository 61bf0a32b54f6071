import pytest

from pipeline.evaluation.advice import MeasuredRun
from pipeline.evaluation.step_rules import many_calls, slow_input, small_batches, uneven_steps
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content


@pytest.fixture
def ask(orderly_run):
    """Return a function that asks a rule about the orderly run, changed."""

    def ask(rule, *, num_train_clips=None, logs=None, **training):
        time_logs = orderly_run["time_logs"] | (logs or {})
        config = orderly_run["config"]
        config = config | {"training": config["training"] | training}
        run = MeasuredRun(
            times=check_content(TimeLogs, time_logs),
            history=check_content(MetricsHistory, orderly_run["history"]),
            config=config,
            num_train_clips=num_train_clips,
        )
        return rule(run)

    return ask


@pytest.mark.parametrize("rule", [many_calls, slow_input, small_batches, uneven_steps])
def test_an_orderly_run_gives_no_reason_for_advice(ask, rule):
    assert ask(rule, num_train_clips=310) is None


def test_waiting_for_the_disk_is_answered_with_memory(ask):
    logs = {"batch_wait_times": [0.03] * 100, "epoch_times": [1.3] * 10}
    found = ask(slow_input, logs=logs, cache="disk")
    assert found.overrides == {"training.cache": "memory"}
    assert found.evidence["wait_seconds"] == pytest.approx(99 * 0.03)
    assert found.evidence["share"] == pytest.approx(2.97 / 13)
    assert found.gain_seconds == pytest.approx(2.97)
    assert (
        found.details == "2.97 s of 13 s of training (23 %) went by waiting for batches read "
        "from disk."
    )


def test_waiting_that_memory_would_not_spare_is_no_reason(ask):
    logs = {"batch_wait_times": [0.03] * 100, "epoch_times": [1.3] * 10}
    assert ask(slow_input, logs=logs, cache="memory") is None


def test_short_waits_for_the_disk_are_no_reason(ask):
    assert ask(slow_input, cache="disk") is None


def test_the_wait_that_traces_the_graph_is_no_reason(ask):
    logs = {"batch_wait_times": [60.0, *[0.01] * 99], "epoch_times": [61.1, *[1.1] * 9]}
    assert ask(slow_input, logs=logs, cache="disk") is None


def test_input_that_was_measured_apart_is_believed(ask):
    found = ask(slow_input, logs={"breakdown": {"input": 6.0}}, cache="disk")
    assert found.evidence["wait_seconds"] == 6.0


def slow_calls(wait):
    """Waits of ten epochs of ten steps, where step 6 begins a second call into the graph."""
    return {"batch_wait_times": [0.01, *[0.01] * 4, wait, *[0.01] * 4] * 10}


def test_time_lost_between_calls_is_answered_with_fewer(ask):
    found = ask(many_calls, logs=slow_calls(0.31))
    assert found.overrides == {"training.steps_per_execution": 10}
    assert found.evidence["between_calls_seconds"] == pytest.approx(3.0)
    assert found.evidence["calls_per_epoch"] == 2


def test_an_epoch_in_one_call_cannot_have_fewer(ask):
    assert ask(many_calls, logs=slow_calls(0.31), steps_per_execution=10) is None


def test_the_beginning_of_an_epoch_is_not_blamed_on_its_calls(ask):
    logs = {"batch_wait_times": [0.31, *[0.01] * 9] * 10}
    assert ask(many_calls, logs=logs) is None


def test_calls_of_one_step_are_blamed_for_the_whole_wait(ask):
    logs = {"batch_wait_times": [0.03] * 100, "epoch_times": [1.3] * 10}
    found = ask(many_calls, logs=logs, steps_per_execution=1)
    assert found.gain_seconds == pytest.approx(90 * 0.03)


def test_the_disk_and_the_calls_are_not_told_apart_by_guessing(ask):
    logs = {"batch_wait_times": [0.03] * 100, "epoch_times": [1.3] * 10}
    assert ask(many_calls, logs=logs, steps_per_execution=1, cache="disk") is None


def test_steps_that_were_not_all_logged_give_no_reason(ask):
    logs = slow_calls(0.31) | {"batch_numbers": list(range(2, 202, 2))}
    assert ask(many_calls, logs=logs) is None
    assert ask(small_batches, logs=logs, num_train_clips=296) is None
    assert ask(uneven_steps, logs=logs) is None


def test_steps_that_cost_the_same_for_fewer_clips_are_answered_with_larger_batches(ask):
    # 9 steps of 32 clips and one of 8: 0.1 s and 0.085 s give 0.08 s for no clips at all.
    logs = {"batch_times": [*[0.1] * 9, 0.085] * 10}
    found = ask(small_batches, logs=logs, num_train_clips=296)
    assert found.overrides == {"training.batch_size": 64}
    assert found.evidence["share"] == pytest.approx(0.8)
    assert found.evidence["clips_in_last_step"] == 8
    assert found.gain_seconds == pytest.approx(0.08 * 100 / 2)


def test_steps_whose_time_goes_with_their_clips_are_no_reason(ask):
    logs = {"batch_times": [*[0.1] * 9, 0.03] * 10}
    assert ask(small_batches, logs=logs, num_train_clips=296) is None


@pytest.mark.parametrize("num_train_clips", [None, 320, 310, 900])
def test_without_a_small_last_batch_nothing_is_known_about_batches(ask, num_train_clips):
    logs = {"batch_times": [*[0.1] * 9, 0.085] * 10}
    assert ask(small_batches, logs=logs, num_train_clips=num_train_clips) is None


def test_uneven_steps_are_answered_with_a_quieter_machine(ask):
    logs = {"batch_times": [*[0.1] * 8, 0.5, 0.1] * 10}
    found = ask(uneven_steps, logs=logs)
    assert found.evidence["beyond_median_seconds"] == pytest.approx(9 * 0.4)
    assert found.evidence["p95_step_seconds"] == pytest.approx(0.5)
    assert found.overrides == {}


def test_a_slow_first_epoch_does_not_make_steps_uneven(ask):
    assert ask(uneven_steps, logs={"batch_times": [*[5.0] * 10, *[0.1] * 90]}) is None
