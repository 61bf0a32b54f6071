import threading

import pytest

from pipeline.core.run_log import RunLog, read_events
from pipeline.tracking.background import system_metrics


@pytest.fixture
def run_log(tmp_path):
    return RunLog(tmp_path / "events.jsonl")


def steps(run_log):
    return [event.content["step"] for event in read_events(run_log.path)]


def test_a_run_shorter_than_the_interval_has_a_sample(run_log):
    with system_metrics(run_log, enabled=True, interval_seconds=60.0):
        pass
    (event,) = read_events(run_log.path)
    assert event.kind == "system"
    assert event.content["metrics"]["system/process_memory_megabytes"] > 1
    assert 0 <= event.content["metrics"]["system/system_memory_usage_percentage"] <= 100


def test_samples_are_taken_again_and_again(run_log):
    with system_metrics(run_log, enabled=True, interval_seconds=0.01):
        while len(steps(run_log)) < 3:
            threading.Event().wait(0.01)
    assert steps(run_log) == list(range(len(steps(run_log))))


def test_a_resumed_run_goes_on_with_the_number_of_the_next_sample(run_log):
    for _ in range(2):
        with system_metrics(run_log, enabled=True, interval_seconds=60.0):
            pass
    assert steps(run_log) == [0, 1]


def test_nothing_is_sampled_where_that_is_switched_off(run_log):
    with system_metrics(run_log, enabled=False, interval_seconds=0.001):
        threading.Event().wait(0.05)
    assert steps(run_log) == []


def test_the_sampling_ends_with_the_block_even_if_it_fails(run_log):
    with pytest.raises(KeyError), system_metrics(run_log, enabled=True, interval_seconds=0.01):
        raise KeyError
    number = len(steps(run_log))
    threading.Event().wait(0.1)
    assert len(steps(run_log)) == number >= 1
