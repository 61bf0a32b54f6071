import pytest

from pipeline.figures.search_schedule import read_schedule
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import STARTED_MS, study, study_content


def with_times(*times, states=None):
    """A study of trials given as worker, begin and seconds."""
    content = study_content(len(times), num_parameters=1, share_pruned=0.0, share_failed=0.0)
    states = states or ["COMPLETE"] * len(times)
    for trial, (worker, begin, seconds), state in zip(
        content["trials"], times, states, strict=True
    ):
        started = None if begin is None else STARTED_MS + 1000 * begin
        trial |= {"worker": worker, "started_ms": started, "seconds": seconds, "state": state}
        trial["values"] = [0.1] if state == "COMPLETE" else None
    return parse_study(content)


def spans(schedule):
    return [(bar.row, bar.begin, bar.end) for bar in schedule.bars]


def test_each_worker_has_a_row_and_each_trial_its_time():
    schedule = read_schedule(with_times(("a", 0, 10), ("b", 1, 5), ("a", 11, 4)))

    assert schedule.rows == ("a", "b")
    assert spans(schedule) == [(0, 0, 10), (1, 1, 6), (0, 11, 15)]
    assert schedule.pauses == ()


def test_the_share_of_busy_time_is_that_of_all_rows():
    schedule = read_schedule(with_times(("a", 0, 10), ("b", 0, 5)))

    assert schedule.busy_share == pytest.approx(15 / 20)


def test_trials_that_overlap_in_one_worker_get_rows_of_their_own():
    schedule = read_schedule(with_times(("", 0, 10), ("", 5, 10), ("", 10, 1), ("b", 0, 1)))

    assert schedule.rows == ("unknown worker", "", "b")
    assert spans(schedule) == [(0, 0, 10), (2, 0, 1), (1, 5, 15), (0, 10, 11)]


def test_a_night_without_trials_is_cut_out():
    night = 50_000
    schedule = read_schedule(with_times(("a", 0, 100), ("a", 100 + night, 100)))

    assert [pause.seconds for pause in schedule.pauses] == [night]
    assert spans(schedule) == [(0, 0, 100), (0, 104, 204)]
    assert schedule.pauses[0].at == 102


def test_a_short_wait_stays():
    schedule = read_schedule(with_times(("a", 0, 100), ("a", 110, 100)))

    assert schedule.pauses == ()
    assert schedule.seconds == 210


def test_a_gap_in_which_another_worker_was_busy_stays():
    schedule = read_schedule(with_times(("a", 0, 10), ("b", 0, 1000), ("a", 990, 10)))

    assert schedule.pauses == ()


def test_a_running_trial_reaches_to_the_last_known_moment():
    schedule = read_schedule(
        with_times(("a", 0, 100), ("b", 20, None), states=["COMPLETE", "RUNNING"])
    )

    assert spans(schedule)[1] == (1, 20, 100)


def test_trials_that_wait_are_not_in_it():
    schedule = read_schedule(
        with_times(("a", 0, 10), ("", None, None), states=["COMPLETE", "WAITING"])
    )

    assert len(schedule.bars) == 1


def test_before_the_first_trial_there_is_no_schedule():
    with pytest.raises(NothingToDraw, match="no trial has begun"):
        read_schedule(study(0))
