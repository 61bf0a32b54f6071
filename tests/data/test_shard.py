import json

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


SECONDS = np.float32([[0, 0.5, np.nan]] * 4)


def test_the_times_of_the_steps_are_opened_where_there_are_some(write_files):
    assert open_directory(write_files()).seconds is None
    opened = open_directory(write_files(seconds__npy=SECONDS))
    np.testing.assert_array_equal(opened.seconds.values, SECONDS)
    assert isinstance(opened.seconds.values.base, np.memmap)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds__npy": SECONDS[:3]}, r"seconds\.npy: has shape \(3, 3\), expected one time a"),
        ({"seconds__npy": SECONDS[:, :2]}, r"seconds\.npy: has shape \(4, 2\)"),
        ({"static__npy": np.ones((4, 2))}, r"of shape \(4, 2\) and \(4, 5\)\. Delete it"),
        ({"dynamic__npy": np.ones((4, 2, 5))}, r"of shape \(4, 3, 2\) and \(4, 2, 5\)"),
        ({"seconds__npy": SECONDS + np.float32([[0], [0], [np.inf], [0]])}, r"row 2 holds inf in"),
        ({"seconds__npy": SECONDS.astype(str)}, r"holds values of type <U"),
    ],
)
def test_times_that_are_not_one_a_step_are_refused(write_files, changes, message):
    with pytest.raises(FeatureSetError, match=message):
        open_directory(write_files(**{"seconds__npy": SECONDS, **changes}))


def test_times_beside_files_of_other_names_are_those_of_other_features(write_files):
    features_dir = write_files(seconds__npy=SECONDS)
    (features_dir / "dynamic.npy").rename(features_dir / "motion.npy")
    paths = ShardPaths.of_files(
        static=features_dir / "static.npy", dynamic=features_dir / "motion.npy"
    )
    assert open_shard(paths).seconds is None


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


def made_by(encoder):
    return json.dumps({"encoder": encoder, "seconds": 1})


def test_shards_that_continue_each_other_agree(write_files):
    agreement_of(write_files, features__json='{"seconds": 2}')


def test_shards_of_one_encoder_agree(write_files):
    shards = [
        open_directory(
            write_files(name, clips__csv=clips_named(name), features__json=made_by({"width": 8}))
        )
        for name in ("a", "b")
    ]
    check_agreement(shards)


def test_shards_of_different_encoders_are_refused_by_the_setting_that_differs(write_files):
    shards = [
        open_directory(
            write_files(
                name, clips__csv=clips_named(name), features__json=made_by({"static": name})
            )
        )
        for name in ("hog", "resnet")
    ]
    with pytest.raises(FeatureSetError) as refusal:
        check_agreement(shards)
    assert "encoder.static is 'resnet' here and 'hog' there" in str(refusal.value)


@pytest.mark.parametrize("silent", ["one", "two"])
def test_shards_of_which_one_does_not_name_its_encoder_are_refused(write_files, silent):
    metadata = {name: "{}" if name == silent else made_by("hog") for name in ("one", "two")}
    shards = [
        open_directory(
            write_files(name, clips__csv=clips_named(name), features__json=metadata[name])
        )
        for name in ("one", "two")
    ]
    with pytest.raises(FeatureSetError, match=f"{silent}: does not say what made its features"):
        check_agreement(shards)


@pytest.mark.parametrize("name", ["dynamic.npy", "motion.npy"])
def test_files_of_one_directory_are_described_by_the_one_beside_them(write_files, name):
    features_dir = write_files(features__json=made_by("hog"))
    (features_dir / "dynamic.npy").rename(features_dir / name)
    paths = ShardPaths.of_files(static=features_dir / "static.npy", dynamic=features_dir / name)
    assert open_shard(paths).metadata["encoder"] == "hog"


def test_files_of_two_directories_are_described_by_neither(write_files):
    one, two = (write_files(name, features__json=made_by(name)) for name in ("one", "two"))
    paths = ShardPaths.of_files(static=one / "static.npy", dynamic=two / "dynamic.npy")
    assert open_shard(paths).metadata == {}


def test_a_description_of_other_files_is_left_alone(write_files):
    described = {"encoder": "hog", "files": {"static.npy": {}, "dynamic.npy": {}}}
    features_dir = write_files(features__json=json.dumps(described))
    assert open_directory(features_dir).metadata["encoder"] == "hog"
    (features_dir / "static.npy").rename(features_dir / "mine.npy")
    paths = ShardPaths.of_files(
        static=features_dir / "mine.npy", dynamic=features_dir / "dynamic.npy"
    )
    assert open_shard(paths).metadata == {}


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
