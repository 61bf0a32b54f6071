from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config.schema import SyntheticConfig
from pipeline.data.data_warnings import find_data_warnings
from pipeline.data.feature_set import load_feature_set
from pipeline.data.stream import Stream, StreamPart
from pipeline.data.synthetic import ensure_synthetic_set

N, T, D = 200, 6, 5


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, T, D))


def warnings_of(values, *, mask=None, names=None, groups=None) -> tuple[str, ...]:
    """Return the warnings for a stream with two parts; the first has 150 rows."""
    parts = tuple(
        StreamPart(
            path=Path(f"{shard}/face.npy"),
            values=values[rows],
            mask=mask if mask is None else mask[rows],
        )
        for shard, rows in (("one", slice(0, 150)), ("two", slice(150, None)))
        if len(values[rows])
    )
    names = [f"c{row}" for row in range(len(values))] if names is None else names
    table = pd.DataFrame({"clip_id": names, "group": names if groups is None else groups})
    found = find_data_warnings([Stream(name="static", parts=parts)], table)
    return tuple(map(str, found))


def only_warning(values, **options) -> str:
    (warning,) = warnings_of(values, **options)
    return warning


def test_good_features_give_no_warning(values):
    assert warnings_of(values.astype("float16")) == ()
    assert warnings_of(values[:, 0]) == ()
    assert warnings_of(values[:1]) == ()
    assert warnings_of(np.eye(3)[np.arange(N) % 3]) == ()


def test_the_real_and_the_built_in_features_give_no_warning(shared_data, tmp_path):
    assert load_feature_set(shared_data / "first_impressions").warnings == ()
    ensure_synthetic_set(tmp_path / "set", SyntheticConfig())
    assert load_feature_set(tmp_path / "set").warnings == ()


def test_constant_sparse_and_large_columns_give_no_warning(values):
    values[..., 0] = 0.25
    values[..., 1] = values[..., 1] > 3  # one in a thousand
    values[..., 2] *= 1e6
    values[..., 3] = np.exp(2 * values[..., 3])  # a heavy tail
    assert warnings_of(values) == ()


def test_equal_features_in_a_group_give_no_warning(values):
    groups = np.arange(N) // 4
    assert warnings_of(values[groups, 0], groups=[f"g{group}" for group in groups]) == ()


@pytest.mark.parametrize("constant", [0.0, 0.25, -999.0, None])
def test_a_constant_stream_gives_a_warning(values, constant):
    values[:] = values[0, 0] if constant is None else constant
    assert "The static features are constant. one/face.npy: all clips" in only_warning(values)


@pytest.mark.parametrize("with_steps", [True, False])
def test_equal_features_in_two_groups_give_a_warning_with_both_clips(values, with_steps):
    values = values if with_steps else values[:, 0]
    values[160:170] = values[7]
    warning = only_warning(values)
    assert "11 clips have the same static features as a clip of another group" in warning
    assert "one/face.npy: row 7 (clip c7) has the same numbers as two/face.npy: row 10" in warning


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_an_offset_too_large_for_float32_gives_a_warning(values, dtype):
    values[..., 3] = 1.7e9 + np.arange(N * T).reshape(N, T) % 50
    warning = only_warning((values * 100).astype(dtype))
    assert "are lost in float32. one/face.npy: the values of column 3 are between 1700" in warning
    assert "1 of 5 columns" in warning


def test_a_stream_of_offsets_gives_no_second_warning():
    values = 1.7e9 + np.random.default_rng(0).uniform(size=(N, D))
    assert "lost in float32" in only_warning(values)


@pytest.mark.parametrize("value", [3e30, -3e30, 1e6])
@pytest.mark.parametrize("num_clips", [12, N])
def test_an_outlier_gives_a_warning_with_its_place(values, value, num_clips):
    values[9, 4, 2] = value
    warning = only_warning(values[:num_clips])
    assert f"one/face.npy: row 9 (clip c9) has {value:g} in step 4, column 2" in warning


@pytest.mark.parametrize("padding", [0.0, -1.0])
def test_padding_without_a_mask_gives_a_warning(values, padding):
    mask = np.arange(T) < np.random.default_rng(1).integers(2, T + 1, size=(N, 1))
    values[~mask] = padding
    warning = only_warning(values)
    row, step = np.argwhere(~mask)[0]
    assert f"one/face.npy: row {row} (clip c{row}), step {step}, has {padding:g}" in warning
    assert "face_mask.npy" in warning
    assert warnings_of(values, mask=mask) == ()


@pytest.mark.parametrize("missing", [-999.0, -9999.0])
def test_the_number_for_a_missing_value_gives_a_warning(values, missing):
    values[5, 2, 0] = missing
    values[50:, -1] = missing  # gives no second warning
    warning = only_warning(values)
    assert f"one/face.npy: row 5 (clip c5) has {missing:g} in step 2, column 0" in warning


def test_bad_vectors_give_warnings(values):
    values[40:44, 0] = 0
    values[160, 0, 2] = 3e30
    outlier, constant = warnings_of(values[:, 0])
    assert "two/face.npy: row 10 (clip c160) has 3e+30 in column 2" in outlier
    assert "4 clips have constant static features in a step" in constant
    assert "row 40 (clip c40) has 0 in every column" in constant


def test_masked_steps_give_no_warning(values):
    mask = np.ones((N, T), dtype=bool)
    mask[:, -1] = False
    values[:, -1] = 0
    values[3, -1] = 3e30
    values[4, -1] = -999
    assert warnings_of(values, mask=mask) == ()


def test_images_are_checked_per_channel():
    images = np.random.default_rng(0).integers(0, 256, size=(20, 2, 4, 4, 3)).astype(np.float32)
    assert warnings_of(images) == ()
    images[3, 1, 2, 2, 0] = 3e30
    assert "row 3 (clip c3) has 3e+30 in step 1, column 0" in only_warning(images)


@pytest.mark.parametrize("names", [("P03", "p03"), ("1", "1.0"), ("a  b", "a b")])
def test_similar_group_names_give_a_warning(values, names):
    groups = [f"g{row}" for row in range(N)]
    groups[5], groups[90] = names
    warning = only_warning(values, groups=groups)
    assert "values of group are nearly the same" in warning
    assert ", ".join(map(repr, sorted(names))) in warning


def test_similar_clip_names_give_a_warning(values):
    names = [f"c{row}.mp4" for row in range(N)]
    names[1] = "C0.mp4"
    warning = only_warning(values, names=names, groups=[f"g{row}" for row in range(N)])
    assert "'C0.mp4', 'c0.mp4'. If these names mean the same clip" in warning


def test_clips_that_lack_a_stream_give_no_warning(values):
    """The hidden values of these clips are equal, and far from the others."""
    values[::3] = 1e6
    is_present = np.arange(N) % 3 > 0
    assert warnings_of(values, mask=np.repeat(is_present[:, np.newaxis], T, axis=1)) == ()
    assert warnings_of(values[:, 0], mask=is_present[:, np.newaxis]) == ()


def test_damage_is_found_in_masked_vectors(values):
    mask = np.ones((N, 1), dtype=bool)
    values[7, 0, 2] = -999
    assert "row 7 (clip c7) has -999 in column 2" in only_warning(values[:, 0], mask=mask)
