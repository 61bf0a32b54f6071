from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.stream import Stream, StreamPart
from pipeline.data.validation import (
    check_features,
    check_labels,
    check_mask,
    check_rows,
    finite_chunks,
)

PATH = Path("labels.npy")
CLIPS = pd.DataFrame({"clip_id": ["a", "b"]})
LABELS = np.full((2, 5), 0.5, dtype=np.float32)


def labels_with(value: float) -> np.ndarray:
    labels = LABELS.copy()
    labels[1, 2] = value
    return labels


def message_of(values: np.ndarray, mask: np.ndarray | None = None) -> str:
    """The refusal of `values`, of which each row is a file of its own."""
    parts = tuple(
        StreamPart(path=Path(f"part-{row}.npy"), values=values[[row]], mask=part_mask)
        for row, part_mask in enumerate([None] * len(values) if mask is None else mask[:, None])
    )
    with pytest.raises(FeatureSetError) as caught:
        list(finite_chunks(Stream(name="static", parts=parts), CLIPS))
    return str(caught.value)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3, 4, 5)])
def test_features_of_another_rank_are_refused(shape):
    with pytest.raises(FeatureSetError, match=r"expected \(clips, steps, features\)"):
        check_features(PATH, np.zeros(shape))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (2, 0, 3)])
def test_features_without_values_are_refused(shape):
    with pytest.raises(FeatureSetError, match="holds no features"):
        check_features(PATH, np.zeros(shape))


def test_files_of_different_lengths_are_both_named():
    with pytest.raises(FeatureSetError, match=r"labels\.npy: has 3 rows, but static\.npy has 2"):
        check_rows(PATH, 3, reference=Path("static.npy"), expected=2)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_may_touch_the_ends_of_the_range(value):
    check_labels(PATH, labels_with(value), CLIPS)


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 5, 1)])
def test_labels_of_another_shape_are_refused_with_the_order_of_traits(shape):
    with pytest.raises(FeatureSetError, match=r"expected \(2, 5\) .*openness, .*, neuroticism"):
        check_labels(PATH, np.zeros(shape), CLIPS)


def test_six_columns_are_refused_with_the_one_to_drop():
    with pytest.raises(FeatureSetError, match="Drop the `interview` column"):
        check_labels(PATH, np.zeros((2, 6)), CLIPS)


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        (np.nan, "Drop the clips without a score"),
        (-0.25, "Map the scores"),
        (1.25, "Map the scores"),
        (4.0, "look like 0-5: divide by 5"),
        (6.5, "look like 0-7: divide by 7"),
        (65.0, "look like 0-100: divide by 100"),
    ],
)
def test_labels_out_of_range_are_refused_with_place_and_cure(value, cure):
    message = rf"row 1 \(clip b\) has extraversion {value}, expected a score in \[0, 1\]\. .*{cure}"
    with pytest.raises(FeatureSetError, match=message):
        check_labels(PATH, labels_with(value), CLIPS)


@pytest.mark.parametrize(
    ("top", "cure"), [(5, "1-5: subtract 1, then divide by 4"), (7, "1-7: subtract 1, then divide")]
)
def test_a_scale_without_a_zero_is_told_as_such(top, cure):
    labels = np.tile(np.linspace(1, top, 5), (len(CLIPS), 1))
    with pytest.raises(FeatureSetError, match=f"Scores look like {cure}"):
        check_labels(PATH, labels, CLIPS)


def test_a_mask_of_vectors_is_refused():
    with pytest.raises(FeatureSetError, match="have no steps"):
        check_mask(PATH, np.ones((2, 3), bool), np.zeros((2, 3)), CLIPS)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(FeatureSetError, match=r"shape \(2, 4\), expected \(2, 3\)"):
        check_mask(PATH, np.ones((2, 4), bool), np.zeros((2, 3, 1)), CLIPS)


def test_a_clip_without_a_valid_step_is_refused():
    mask = np.array([[True, False], [False, False]])
    with pytest.raises(FeatureSetError, match=r"row 1 \(clip b\) has no valid step"):
        check_mask(PATH, mask, np.zeros((2, 2, 1)), CLIPS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_place(value):
    values = np.zeros((2, 3, 4))
    values[1, 2, 3] = value
    expected = f"part-1.npy: row 0 (clip b) holds {value} in step 2, column 3, expected finite"
    assert message_of(values).startswith(expected)


def test_a_vector_that_is_not_finite_is_refused_without_a_step():
    assert "row 0 (clip a) holds nan in column 1," in message_of(np.array([[0, np.nan], [0, 0]]))


def test_a_number_too_large_for_float32_is_refused():
    message = message_of(np.array([[0, 1e300], [0, 0]]))
    assert "holds 1e+300, too large for float32, in column 1" in message


def test_nan_in_padding_is_refused_with_the_advice_to_pad_with_zeros():
    values = np.array([[[0.0], [np.nan]], [[0.0], [0.0]]])
    mask = np.array([[True, False], [True, True]])
    assert message_of(values, mask).endswith("pad with zeros.")


def test_nan_in_a_valid_step_is_not_taken_for_padding():
    values = np.array([[[np.nan], [0.0]], [[0.0], [0.0]]])
    mask = np.array([[True, False], [True, True]])
    assert message_of(values, mask).endswith("drop it from every file.")


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 5, 5, 3)])
def test_vectors_steps_and_pictures_are_accepted(shape):
    check_features(PATH, np.zeros(shape))


def test_a_pixel_that_is_not_a_number_is_told_by_its_clip():
    values = np.zeros((2, 3, 5, 5, 3), np.float32)
    values[1, 2, 0, 4, 1] = np.nan
    assert "clip b" in message_of(values)
