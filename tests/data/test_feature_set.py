import json
import shutil
import time
import tracemalloc
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.core.traits import FIRST_IMPRESSIONS
from pipeline.data.feature_set import load_feature_files, load_feature_set

ALL = np.arange(4)


def split_into_shards(features_dir, sharded_dir, ends):
    """Write the rows of a feature set as shards that end at `ends`."""
    arrays = {path.name: np.load(path) for path in features_dir.glob("*.npy")}
    clips = pd.read_csv(features_dir / "clips.csv")
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        shard_dir = sharded_dir / f"shard-{number}"
        shard_dir.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(shard_dir / name, array[start:end])
        clips[start:end].to_csv(shard_dir / "clips.csv", index=False)
    return sharded_dir


def test_a_directory_loads_with_what_its_files_hold(write_files):
    features_dir = write_files(features__json='{"encoder": "resnet"}')
    feature_set = load_feature_set(features_dir)
    assert feature_set.num_clips == 4
    assert feature_set.clip_ids.tolist() == [
        "v0.000.mp4",
        "v0.001.mp4",
        "v1.002.mp4",
        "v1.003.mp4",
    ]
    assert feature_set.groups.tolist() == ["v0", "v0", "v1", "v1"]
    assert feature_set.has_groups
    assert feature_set.metadata == {"encoder": "resnet"}
    np.testing.assert_array_equal(feature_set.labels, np.load(features_dir / "labels.npy"))
    np.testing.assert_array_equal(
        feature_set.static.read(ALL), np.load(features_dir / "static.npy")
    )
    np.testing.assert_array_equal(
        feature_set.dynamic.read(ALL), np.load(features_dir / "dynamic.npy")
    )


def test_without_a_table_each_clip_is_its_own_group(write_files):
    feature_set = load_feature_set(write_files(clips__csv=None))
    assert not feature_set.has_groups
    assert feature_set.clip_ids.tolist() == feature_set.groups.tolist()
    assert feature_set.clip_ids[3] == "row-000003"


def test_without_a_column_group_each_clip_is_its_own_where_none_is_needed(write_files):
    features_dir = write_files(clips__csv=pd.DataFrame({"clip_id": list("abcd")}))
    with pytest.raises(FeatureSetError, match="no column group"):
        load_feature_set(features_dir)
    features = load_feature_set(features_dir, needs_group=False)
    assert features.groups.tolist() == features.clip_ids.tolist() == list("abcd")


def test_the_split_column_is_offered_where_there_is_one(write_files):
    ids = ["a", "b", "c", "d"]
    sides = ["train", "train", "validation", "test"]
    table = pd.DataFrame({"clip_id": ids, "group": ids, "split": sides})
    assert load_feature_set(write_files(clips__csv=table)).split_column.tolist() == sides
    assert load_feature_set(write_files("other")).split_column is None


def test_labels_that_are_required_are_returned(write_files):
    feature_set = load_feature_set(write_files())
    assert feature_set.checked_labels() is feature_set.labels


def test_labels_that_are_required_and_missing_are_refused_with_the_cure(write_files):
    feature_set = load_feature_set(write_files(labels__npy=None))
    with pytest.raises(FeatureSetError, match=r"no labels\.npy.* shape \(4, 5\) .*openness"):
        feature_set.checked_labels()


def test_masks_beside_the_streams_are_read(write_files):
    mask = np.array([[True, True, False]] * 4)
    feature_set = load_feature_set(write_files(static_mask__npy=mask))
    assert feature_set.static.has_mask
    assert not feature_set.dynamic.has_mask
    np.testing.assert_array_equal(feature_set.static.read_mask(ALL), mask)


def test_single_files_load_like_the_directory(write_files, tmp_path):
    features_dir = write_files(static_mask__npy=np.ones((4, 3), dtype=bool))
    (features_dir / "static.npy").rename(tmp_path / "face.npy")
    (features_dir / "static_mask.npy").rename(tmp_path / "face_mask.npy")
    loaded = load_feature_files(
        static_features=tmp_path / "face.npy",
        dynamic_features=features_dir / "dynamic.npy",
        labels=features_dir / "labels.npy",
        clips=features_dir / "clips.csv",
    )
    assert loaded.static.has_mask
    again = write_files("again", static_mask__npy=np.ones((4, 3), dtype=bool))
    assert loaded.digest == load_feature_set(again).digest


def test_single_files_load_without_labels_and_table(write_files):
    features_dir = write_files()
    loaded = load_feature_files(
        static_features=features_dir / "static.npy", dynamic_features=features_dir / "dynamic.npy"
    )
    assert loaded.labels is None
    assert not loaded.has_groups


def test_shards_load_like_the_whole(write_files, tmp_path):
    mask = np.arange(3) <= np.arange(8)[:, np.newaxis] % 3
    features_dir = write_files(num_clips=8, static_mask__npy=mask)
    whole = load_feature_set(features_dir)
    sharded = load_feature_set(split_into_shards(features_dir, tmp_path / "shards", [3, 4, 8]))
    rows = np.array([7, 0, 3, 3, 2])
    assert sharded.digest == whole.digest
    assert sharded.clip_ids.tolist() == whole.clip_ids.tolist()
    np.testing.assert_array_equal(sharded.labels, whole.labels)
    np.testing.assert_array_equal(sharded.static.read(rows), whole.static.read(rows))
    np.testing.assert_array_equal(sharded.static.read_mask(rows), whole.static.read_mask(rows))


def test_a_set_of_more_files_than_a_process_may_have_open_at_first_is_read(write_files, tmp_path):
    resource = pytest.importorskip("resource", reason="systems without limits have no such case")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    sharded = split_into_shards(write_files("whole"), tmp_path / "shards", range(1, 5))
    with (tmp_path / "last").open("w") as last:
        room_for_five = last.fileno() + 6
    resource.setrlimit(resource.RLIMIT_NOFILE, (room_for_five, limits[1]))
    try:
        features = load_feature_set(sharded)
        assert len(features.static.read(np.arange(4))) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_times_of_the_steps_are_read_across_shards_and_are_no_part_of_the_digest(
    write_files, tmp_path
):
    seconds = np.arange(24, dtype=np.float32).reshape(8, 3)
    seconds[5, 2] = np.nan
    silent = load_feature_set(write_files(num_clips=8))
    features_dir = write_files(num_clips=8, seconds__npy=seconds)
    sharded = load_feature_set(split_into_shards(features_dir, tmp_path / "shards", [3, 8]))
    rows = np.array([7, 0, 5])
    np.testing.assert_array_equal(sharded.seconds.read(rows), seconds[rows])
    assert silent.seconds is None
    assert sharded.digest == silent.digest


def test_shards_without_a_table_number_their_clips_throughout(write_files):
    for name in ("one", "two"):
        write_files(f"shards/{name}", clips__csv=None)
    sharded = load_feature_set(write_files("shards/one", clips__csv=None).parent)
    assert len(set(sharded.clip_ids.tolist())) == sharded.num_clips == 8


def test_shards_keep_the_metadata_they_share(write_files):
    write_files("shards/one", clips__csv=None, features__json='{"encoder": "x", "seconds": 1}')
    write_files("shards/two", clips__csv=None, features__json='{"encoder": "x", "seconds": 2}')
    shards_dir = write_files("shards/one", clips__csv=None).parent
    assert load_feature_set(shards_dir).metadata == {"encoder": "x"}


def test_shards_of_two_encoders_are_no_feature_set(write_files):
    write_files("shards/one", clips__csv=None, features__json='{"encoder": "hog"}')
    two = write_files("shards/two", clips__csv=None, features__json='{"encoder": "resnet"}')
    with pytest.raises(FeatureSetError, match="encoder is 'resnet' here and 'hog' there"):
        load_feature_set(two.parent)


def test_unfinished_and_unrelated_directories_are_no_shards(write_files, tmp_path):
    write_files("shards/one", clips__csv=None)
    write_files("shards/.one.1234", clips__csv=None)
    (tmp_path / "shards" / "figures").mkdir()
    assert load_feature_set(tmp_path / "shards").num_clips == 4


def test_a_shard_copied_by_half_is_refused(write_files, tmp_path):
    write_files("shards/one", clips__csv=None)
    write_files("shards/two", clips__csv=None, static__npy=None)
    with pytest.raises(FeatureSetError, match=r"two/static\.npy: there is no such file"):
        load_feature_set(tmp_path / "shards")


@pytest.mark.parametrize("dtype", ["float64", ">f4"])
def test_the_digest_is_of_the_numbers_and_not_of_their_storage(write_files, dtype):
    features_dir = write_files()
    digest = load_feature_set(features_dir).digest
    static = np.load(features_dir / "static.npy")
    np.save(features_dir / "static.npy", np.asfortranarray(static.astype(dtype)))
    assert load_feature_set(features_dir).digest == digest


@pytest.mark.parametrize("name", ["static.npy", "dynamic.npy", "labels.npy", "static_mask.npy"])
def test_the_digest_changes_with_every_array(write_files, name):
    features_dir = write_files(static_mask__npy=np.ones((4, 3), dtype=bool))
    digest = load_feature_set(features_dir).digest
    array = np.load(features_dir / name)
    array.flat[-1] = 0
    np.save(features_dir / name, array)
    assert load_feature_set(features_dir).digest != digest


def test_the_digest_changes_with_the_table(write_files):
    features_dir = write_files()
    digest = load_feature_set(features_dir).digest
    table = (features_dir / "clips.csv").read_text(encoding="utf-8")
    (features_dir / "clips.csv").write_text(table.replace(",v1", ",v2"), encoding="utf-8")
    assert load_feature_set(features_dir).digest != digest


def test_nan_in_a_shard_is_refused_with_the_row_of_that_shard(write_files, tmp_path):
    features_dir = write_files(num_clips=8)
    sharded_dir = split_into_shards(features_dir, tmp_path / "shards", [3, 8])
    dynamic = np.load(sharded_dir / "shard-1" / "dynamic.npy")
    dynamic[2, 4] = np.nan
    np.save(sharded_dir / "shard-1" / "dynamic.npy", dynamic)
    message = r"shard-1/dynamic\.npy: row 2 \(clip v2\.005\.mp4\) holds nan in column 4"
    with pytest.raises(FeatureSetError, match=message):
        load_feature_set(sharded_dir)


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(FeatureSetError, match="does not exist"):
        load_feature_set(tmp_path / "none")


def test_a_file_in_place_of_the_directory_is_refused(write_files):
    with pytest.raises(FeatureSetError, match="is a file"):
        load_feature_set(write_files() / "static.npy")


def test_a_directory_without_features_is_refused(tmp_path):
    with pytest.raises(FeatureSetError, match=r"holds no static\.npy"):
        load_feature_set(tmp_path)


def test_a_set_is_not_held_in_memory(write_files):
    """64 MiB of features load in chunks, and reading a row brings in that row."""
    features_dir = write_files(clips__csv=None, labels__npy=None, num_clips=64)
    np.save(features_dir / "static.npy", np.zeros((64, 64, 4096), dtype=np.float32))
    tracemalloc.start()
    feature_set = load_feature_set(features_dir)
    after_loading, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    feature_set.static.read(np.array([5]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    shutil.rmtree(features_dir)
    assert after_loading < 4 * 2**20
    assert peak - after_loading < 4 * 2**20


def test_the_real_features_load_in_half_a_second(shared_data):
    start = time.perf_counter()
    feature_set = load_feature_set(shared_data / "first_impressions")
    assert time.perf_counter() - start < 0.5
    assert feature_set.static.shape == feature_set.dynamic.shape == (6000, 6)
    assert feature_set.checked_labels().shape == (6000, 5)
    assert feature_set.clip_ids[0] == "--Ymqszjv54.001.mp4"
    assert len(set(feature_set.groups.tolist())) == 2624


def described(**changes) -> str:
    traits = [asdict(trait) for trait in FIRST_IMPRESSIONS]
    traits[4] |= changes
    return json.dumps({"traits": traits})


def test_the_direction_of_each_trait_is_read(write_files):
    assert load_feature_set(write_files(features__json=described())).traits == FIRST_IMPRESSIONS
    assert load_feature_set(write_files("other")).traits == ()


def test_further_entries_of_a_trait_are_left_alone(write_files):
    features_dir = write_files(features__json=described(range=[1, 7]))
    assert load_feature_set(features_dir).traits == FIRST_IMPRESSIONS


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (described(is_reversed="perhaps"), r"traits\.4\.is_reversed cannot be used"),
        (
            described(name="emotional_stability"),
            "names openness, .*, emotional_stability, expected",
        ),
        ('{"traits": "neuroticism"}', "traits cannot be used"),
        ('{"traits": [{"name": "neuroticism"}]}', "names neuroticism, expected openness, "),
    ],
)
def test_traits_that_are_described_otherwise_are_refused(write_files, metadata, message):
    with pytest.raises(FeatureSetError, match=rf"features\.json: .*{message}"):
        load_feature_set(write_files(features__json=metadata))


def test_shards_that_score_a_trait_in_two_directions_are_no_feature_set(write_files, tmp_path):
    table = pd.DataFrame({"clip_id": list("abcd"), "group": list("abcd")})
    write_files("set/1", features__json=described())
    write_files("set/2", clips__csv=table)
    message = "labels scored in reverse: none, but .* has neuroticism"
    with pytest.raises(FeatureSetError, match=message):
        load_feature_set(tmp_path / "set")


def test_the_direction_is_that_of_the_labels_beside_it(write_files):
    features_dir = write_files(features__json=described())
    streams = {f"{name}_features": features_dir / f"{name}.npy" for name in ("static", "dynamic")}
    own = load_feature_files(**streams, labels=features_dir / "labels.npy")
    others = load_feature_files(**streams, labels=write_files("other") / "labels.npy")
    assert (own.traits, others.traits) == (FIRST_IMPRESSIONS, ())


def test_the_digest_of_clean_names_is_what_it_was_before_names_were_normalised(shared_data):
    real = load_feature_set(shared_data / "first_impressions")
    assert real.digest == "dff882ef78c1ec7b50b67fc1ea11f6ad69fef71349fb061ffbf28470d17890e7"
