import pytest
from matplotlib.colors import to_hex

from pipeline.figures.search_marks import STATE_COLOURS
from pipeline.figures.search_schedule import read_schedule
from pipeline.figures.search_study import parse_study
from pipeline.figures.search_timeline import describe_search_timeline, draw_search_timeline
from tests.figures.search_studies import STARTED_MS, study, study_content


def bars_of(figure):
    return figure.axes[0].patches


def test_each_trial_is_a_bar_in_the_colour_of_its_ending():
    schedule = read_schedule(study(40))

    bars = bars_of(draw_search_timeline(schedule))

    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == [
        STATE_COLOURS[bar.trial.state] for bar in schedule.bars
    ]


def test_bars_are_as_long_as_their_trials():
    schedule = read_schedule(study(3, num_workers=1))

    bars = bars_of(draw_search_timeline(schedule))

    seconds = [bar.end - bar.begin for bar in schedule.bars]
    assert [60 * bar.get_width() for bar in bars] == pytest.approx(seconds)  # drawn in minutes


def test_rows_are_named_after_the_ends_of_the_workers_names():
    figure = draw_search_timeline(read_schedule(study(8, num_workers=2)))

    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["…the-cluster.example-4000", "…the-cluster.example-4001"]


def test_only_bars_with_room_carry_their_number():
    few, many = (draw_search_timeline(read_schedule(study(size))) for size in (8, 300))

    assert len(few.axes[0].texts) == 8
    assert len(many.axes[0].texts) < 300


def test_a_pause_is_marked_and_told(texts_of):
    schedule = read_schedule(study(20, pause_seconds=50_000.0))
    figure = draw_search_timeline(schedule)

    assert any(text.startswith("pause (dotted) of 13.9 h") for text in texts_of(figure))
    assert any("long pauses left out" in text for text in texts_of(figure))
    assert "1 pause of up to 13.9 h left out" in describe_search_timeline(schedule)


def test_a_search_in_which_all_failed_has_its_timeline(texts_of):
    assert "failed" in texts_of(draw_search_timeline(read_schedule(study(6, share_failed=1.0))))


def test_trials_that_took_no_time_still_have_an_axis():
    content = study_content(2)
    for trial in content["trials"]:
        trial |= {"started_ms": STARTED_MS, "seconds": 0.0}
    schedule = read_schedule(parse_study(content))

    assert draw_search_timeline(schedule).axes[0].get_xlim() == (0, 1)
    assert describe_search_timeline(schedule) == (
        "2 workers ran 2 trials in 0 ms and had one in 100 % of that time."
    )
