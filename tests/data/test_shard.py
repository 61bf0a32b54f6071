import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.shard import ShardPaths, check_agreement, open_shard

MASK = np.ones((4, 3), dtype=bool)


def open_directory(features_dir):
    return open_shard(ShardPaths.of_directory(features_dir))


def test_only_the_files_that_are_there_are_named(write_files):
    features_dir = write_files(labels__npy=None, static_mask__npy=MASK)
    names = [path.name for path in ShardPaths.of_directory(features_dir).present]
    assert names == ["static.npy", "static_mask.npy", "dynamic.npy", "clips.csv"]


def test_labels_are_float32(write_files):
    assert open_directory(write_files(labels__npy=np.zeros((4, 5), int))).labels.dtype == np.float32


@pytest.mark.parametrize("name", ["static.npy", "dynamic.npy"])
def test_a_shard_without_a_stream_is_refused(write_files, name):
    features_dir = write_files(**{name.replace(".", "__"): None})
    with pytest.raises(FeatureSetError, match=f"{name}: there is no such file"):
        open_directory(features_dir)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dynamic.npy", np.zeros((5, 2))),
        ("labels.npy", np.zeros((5, 5))),
        ("clips.csv", pd.DataFrame({"clip_id": list("abcde"), "group": list("abcde")})),
    ],
)
def test_a_file_with_a_row_too_many_is_refused(write_files, name, value):
    features_dir = write_files(**{name.replace(".", "__"): value})
    with pytest.raises(FeatureSetError, match=rf"{name}: has 5 rows, but .*static\.npy has 4"):
        open_directory(features_dir)


def test_a_single_number_is_refused_as_labels(write_files):
    with pytest.raises(FeatureSetError, match="has 0 rows"):
        open_directory(write_files(labels__npy=np.array(0.5)))


def test_labels_beyond_float32_are_refused_like_any_out_of_range(write_files):
    with pytest.raises(FeatureSetError, match="expected a score"):
        open_directory(write_files(labels__npy=np.full((4, 5), 1e300)))


def test_a_mask_without_a_valid_step_is_refused_with_the_clip(write_files):
    with pytest.raises(FeatureSetError, match=r"static_mask\.npy: row 0 \(clip v0\.000\.mp4\)"):
        open_directory(write_files(static_mask__npy=np.zeros((4, 3), dtype=bool)))


def test_a_mask_of_numbers_is_refused(write_files):
    with pytest.raises(FeatureSetError, match=r"static_mask\.npy: holds values of type float64"):
        open_directory(write_files(static_mask__npy=np.ones((4, 3))))


def test_metadata_that_is_no_mapping_is_refused(write_files):
    with pytest.raises(FeatureSetError, match="JSON list, expected a mapping"):
        open_directory(write_files(features__json="[1]"))


def clips_named(letter: str, **columns: list[str]) -> pd.DataFrame:
    ids = [f"{letter}{row}" for row in range(4)]
    return pd.DataFrame({"clip_id": ids, "group": ids, **columns})


def agreement_of(write_files, **changes):
    first = open_directory(write_files("one", clips__csv=clips_named("a")))
    second = open_directory(write_files("two", **{"clips__csv": clips_named("b"), **changes}))
    check_agreement([first, second])


def test_shards_that_continue_each_other_agree(write_files):
    agreement_of(write_files, features__json='{"encoder": "x"}')


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"static__npy": np.zeros((4, 9, 2))}, r"\(9, 2\), but .*one has \(3, 2\)"),
        ({"dynamic__npy": np.zeros((4, 1, 5))}, r"\(1, 5\), but .*one has \(5,\)"),
        ({"labels__npy": None}, r"files static\.npy, dynamic\.npy, clips\.csv, but"),
        ({"static_mask__npy": MASK}, r"static_mask\.npy.*, but"),
        ({"clips__csv": None}, r"files static\.npy, dynamic\.npy, labels\.npy, but"),
        ({"clips__csv": clips_named("b", age=["1"] * 4)}, "columns clip_id, group, age, but"),
        ({"clips__csv": clips_named("a")}, "'a0' occurs twice, in row 0 of .*one"),
    ],
)
def test_shards_that_differ_are_refused(write_files, changes, message):
    with pytest.raises(FeatureSetError, match=message):
        agreement_of(write_files, **changes)
