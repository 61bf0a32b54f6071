import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.frames import Frames
from pipeline.data.time_steps import resample, valid_frames

NAN = float("nan")


def frames_of(values, *, valid=None, seconds=None, numbers=None) -> Frames:
    """Return frames with one value each."""
    return Frames(
        values=np.array(values, dtype=np.float32).reshape(len(values), -1),
        is_valid=np.ones(len(values), bool) if valid is None else np.array(valid, dtype=bool),
        seconds=None if seconds is None else np.array(seconds, dtype=float),
        frame_numbers=None if numbers is None else np.array(numbers, dtype=float),
    )


@pytest.mark.parametrize(
    ("frames", "num_steps", "how", "values", "mask", "seconds"),
    [
        # Four frames of 0.5 s in two windows of 1 s.
        (
            frames_of([1, 3, 5, 9], seconds=[0, 0.5, 1, 1.5]),
            *(2, "mean", [2, 7], [1, 1], [0.5, 1.5]),
        ),
        # Five frames in two windows: the middle of the third is on the boundary.
        (
            frames_of([1, 3, 5, 7, 9], seconds=[0, 1, 2, 3, 4]),
            *(2, "mean", [2, 7], [1, 1], [1.25, 3.75]),
        ),
        # Without times all frames last equally long, and seconds are unknown.
        (frames_of([1, 3, 5, 9]), 2, "mean", [2, 7], [1, 1], [NAN, NAN]),
        # Frame 2 and 3 are not in the table, so the second window is empty.
        (frames_of([1, 3, 9], numbers=[0, 1, 4]), 3, "mean", [2, 0, 9], [1, 0, 1], [NAN] * 3),
        # Invalid frames and NaN are left out, but their time belongs to the clip.
        (
            frames_of([1, NAN, 5, 9], valid=[1, 1, 1, 0], seconds=[2, 3, 4, 5]),
            *(2, "mean", [1, 5], [1, 1], [3, 5]),
        ),
        (frames_of([NAN, 1, 3]), 3, "mean", [0, 1, 3], [0, 1, 1], [NAN] * 3),
        # Rows in any order, and times that start late.
        (
            frames_of([9, 1, 5, 3], seconds=[11.5, 10, 11, 10.5]),
            *(2, "mean", [2, 7], [1, 1], [10.5, 11.5]),
        ),
        # The middles of the frames are 0.5, 1.5, …; those of the windows are 1.5 and 4.5.
        (frames_of([1, 3, 5, 7, 9, 11]), 2, "nearest", [3, 9], [1, 1], [NAN, NAN]),
        (
            frames_of([1, 3, 5, 7, 9, 11], valid=[1, 0, 1, 0, 0, 0]),
            *(2, "nearest", [1, 0], [1, 0], [NAN, NAN]),
        ),
        # Fewer frames than steps.
        (frames_of([4], seconds=[7]), 3, "mean", [0, 4, 0], [0, 1, 0], [7 + 1 / 6, 7.5, 7 + 5 / 6]),
        (frames_of([1, 3]), 4, "nearest", [0, 1, 0, 3], [0, 1, 0, 1], [NAN] * 4),
        # No known time at all.
        (frames_of([1], seconds=[NAN]), 2, "mean", [0, 0], [0, 0], [NAN, NAN]),
    ],
    ids=range(12),
)
def test_windows_are_equal_parts_of_the_time(frames, num_steps, how, values, mask, seconds):
    found = resample(frames, num_steps, how)
    np.testing.assert_allclose(found[0][:, 0], values, rtol=1e-6)
    assert found[1].tolist() == [bool(each) for each in mask]
    np.testing.assert_allclose(found[2], seconds)
    assert found[0].dtype == np.float32


def test_rounded_times_leave_no_window_empty():
    seconds = np.round(np.arange(48) / 30, 3)  # as OpenFace writes them
    values, mask, _ = resample(frames_of(np.arange(48.0), seconds=seconds), 48)
    assert mask.all()
    assert values[:, 0].tolist() == list(range(48))


@given(
    values=st.lists(st.floats(-100, 100, width=32) | st.just(NAN), min_size=1, max_size=30),
    num_steps=st.integers(1, 20),
    how=st.sampled_from(["mean", "nearest"]),
)
def test_values_are_finite_and_within_the_range_of_the_valid_frames(values, num_steps, how):
    frames = frames_of(values)
    steps, mask, _ = resample(frames, num_steps, how)
    valid = frames.values[valid_frames(frames)]
    assert np.isfinite(steps).all()
    assert not steps[~mask].any()
    assert mask.any() == (len(valid) > 0)
    if len(valid):
        assert steps[mask].min() >= valid.min() - 1e-3
        assert steps[mask].max() <= valid.max() + 1e-3
