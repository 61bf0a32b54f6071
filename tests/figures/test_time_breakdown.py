import pytest

from pipeline.figures.time_breakdown import (
    describe_time_breakdown,
    draw_time_breakdown,
    time_breakdown_data,
)
from tests.figures.contents import on_contents

time_breakdown_data = on_contents(time_breakdown_data)


def test_shares_add_up_to_one(time_logs):
    data = time_breakdown_data(time_logs)
    assert sum(data.shares.values()) == pytest.approx(1)
    assert data.total == pytest.approx(5.2)


def test_bars_begin_at_zero_and_are_named(time_logs, texts_of):
    figure = draw_time_breakdown(time_breakdown_data(time_logs))
    assert all(bar.get_x() == 0 for bar in figure.axes[0].patches)
    assert "training steps: 2.00 s, 38 %" in texts_of(figure)
    assert "Where 5.20 s went" in texts_of(figure)


def test_a_part_without_a_name_of_its_own_keeps_its_key(time_logs, texts_of):
    time_logs["breakdown"] = {"step": 3.0, "warm_up": 1.0}
    assert "warm_up: 1.00 s, 25 %" in texts_of(draw_time_breakdown(time_breakdown_data(time_logs)))


def test_the_alt_text_tells_the_numbers(time_logs):
    time_logs["breakdown"] = {"step": 3.0, "input": 1.0}
    assert describe_time_breakdown(time_breakdown_data(time_logs)) == (
        "Of 4.00 s measured: training steps 75 %, waiting for input 25 %."
    )
