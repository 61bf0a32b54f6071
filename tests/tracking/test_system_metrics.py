import threading

import pytest

from pipeline.core.journal import Journal, read_events
from pipeline.tracking.system_metrics import system_metrics


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "events.jsonl")


def steps(journal):
    return [event.content["step"] for event in read_events(journal.path)]


def test_a_run_shorter_than_the_interval_has_a_sample(journal):
    with system_metrics(journal, enabled=True, interval_seconds=60.0):
        pass
    (event,) = read_events(journal.path)
    assert event.kind == "system"
    assert event.content["metrics"]["system/process_memory_megabytes"] > 1
    assert 0 <= event.content["metrics"]["system/system_memory_usage_percentage"] <= 100


def test_samples_are_taken_again_and_again(journal):
    with system_metrics(journal, enabled=True, interval_seconds=0.01):
        while len(steps(journal)) < 3:
            threading.Event().wait(0.01)
    assert steps(journal) == list(range(len(steps(journal))))


def test_a_resumed_run_goes_on_with_the_number_of_the_next_sample(journal):
    for _ in range(2):
        with system_metrics(journal, enabled=True, interval_seconds=60.0):
            pass
    assert steps(journal) == [0, 1]


def test_nothing_is_sampled_where_that_is_switched_off(journal):
    with system_metrics(journal, enabled=False, interval_seconds=0.001):
        threading.Event().wait(0.05)
    assert steps(journal) == []


def test_the_sampling_ends_with_the_block_even_if_it_fails(journal):
    with pytest.raises(KeyError), system_metrics(journal, enabled=True, interval_seconds=0.01):
        raise KeyError
    number = len(steps(journal))
    threading.Event().wait(0.1)
    assert len(steps(journal)) == number >= 1
