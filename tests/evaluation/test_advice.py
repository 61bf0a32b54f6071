import pytest

from pipeline.evaluation.advice import percent, share_of, written


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.01234, "0.0123 s"), (62.96, "63 s"), (7200, "120 min")]
)
def test_times_are_written_with_their_unit(seconds, text):
    assert written(seconds) == text


def test_a_share_of_nothing_is_nothing():
    assert share_of(0.0, 0.0) == 0.0
    assert percent(share_of(1, 8)) == "12 %"
