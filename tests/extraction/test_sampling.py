"""Instants are evenly spaced over the clip, by time."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from pipeline.extraction.video.sampling import are_motion, choose_instants, choose_windows, nearest

TIMES = st.lists(st.integers(1, 400), min_size=1, max_size=200).map(
    lambda steps: np.cumsum([0, *steps]) / 1000
)


def test_instants_are_the_centres_of_equal_parts():
    seconds = np.arange(101) / 10  # 0 to 10 s
    assert choose_instants(seconds, 5).tolist() == [10, 30, 50, 70, 90]


def test_instants_are_spaced_by_time_and_not_by_frame_number():
    seconds = np.concatenate([np.arange(90) / 90, 1 + np.arange(11)])  # dense, then sparse
    chosen = seconds[choose_instants(seconds, 4)]
    np.testing.assert_allclose(chosen, [1, 4, 7, 10], atol=0.5)


def test_centres_in_a_stall_move_to_its_edges():
    seconds = np.arange(300) / 30
    seconds = np.concatenate([seconds[:150], seconds[150:] + 5])  # 5 s without a frame
    chosen = seconds[choose_instants(seconds, 16)]
    centres = (np.arange(16) + 0.5) * seconds[-1] / 16
    outside = (centres < 4.9) | (centres > 10.1)
    assert outside.sum() == 10
    assert np.abs(chosen - centres)[outside].max() <= 0.1
    assert np.abs(chosen - centres).max() < 2.6


@given(seconds=TIMES, num_steps=st.integers(1, 32))
def test_no_frame_is_chosen_twice(seconds, num_steps):
    chosen = choose_instants(seconds, num_steps)
    assert len(chosen) == min(num_steps, len(seconds))
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < len(seconds)


@given(seconds=TIMES, num_steps=st.integers(1, 32), num_pairs=st.integers(1, 6))
def test_windows_are_ascending_and_within_the_clip(seconds, num_steps, num_pairs):
    instants = choose_instants(seconds, num_steps)
    windows = choose_windows(seconds, instants, num_pairs=num_pairs, pair_seconds=1 / 30)
    if len(seconds) <= num_pairs:
        assert windows.shape == (len(instants), 1)
    else:
        assert windows.shape == (len(instants), num_pairs + 1)
        assert (np.diff(windows, axis=1) > 0).all()
        assert windows.max() < len(seconds)


@pytest.mark.parametrize(
    ("rate", "instants", "num_pairs", "expected"),
    [
        (60, [0, 10], 1, [[0, 2], [10, 12]]),  # 1/30 s is two frames
        (5, [4], 1, [[4, 5]]),
        (30, [59], 2, [[57, 58, 59]]),  # moved back from the end
    ],
)
def test_the_next_frame_of_a_window_is_the_nearest_in_time(rate, instants, num_pairs, expected):
    windows = choose_windows(
        np.arange(60) / rate, np.array(instants), num_pairs=num_pairs, pair_seconds=1 / 30
    )
    assert windows.tolist() == expected


@pytest.mark.parametrize(
    ("rate", "pair_seconds", "expected"),
    [(rate, 1 / 30, True) for rate in (60, 30, 12, 5, 4)]
    + [(3, 1 / 30, False), (1, 1 / 30, False), (30, 0.5, True)],
)
def test_frames_more_than_a_quarter_second_apart_are_not_motion(rate, pair_seconds, expected):
    seconds = np.arange(20) / rate
    windows = choose_windows(seconds, np.array([3, 12]), num_pairs=1, pair_seconds=pair_seconds)
    assert are_motion(seconds, windows, pair_seconds=pair_seconds).tolist() == [expected] * 2


def test_a_pair_across_a_gap_or_a_single_frame_is_not_motion():
    seconds = np.arange(20) / 30 + 2.5 * (np.arange(20) >= 10)
    windows = choose_windows(seconds, np.array([7, 8, 9, 10]), num_pairs=2, pair_seconds=1 / 30)
    near = are_motion(seconds, windows, pair_seconds=1 / 30)
    assert near.tolist() == [True, False, False, True]
    assert are_motion(np.zeros(1), np.zeros((1, 1), dtype=int), pair_seconds=1).tolist() == [False]


def test_nearest_works_at_both_ends():
    found = nearest(np.array([0.0, 1.0, 2.0]), np.array([-5.0, 0.4, 0.6, 9.0]))
    assert found.tolist() == [0, 0, 1, 2]
    assert nearest(np.array([3.0]), np.array([0.0, 9.0])).tolist() == [0, 0]
