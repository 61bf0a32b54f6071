import json
import resource
import shutil
import time
import tracemalloc
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.core.traits import FIRST_IMPRESSIONS, TraitLabel
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


def test_a_directory_loads_with_the_content_of_its_files(write_files):
    mask = np.array([[True, True, False]] * 4)
    features_dir = write_files(features__json='{"encoder": "hog"}', static_mask__npy=mask)
    feature_set = load_feature_set(features_dir)
    assert feature_set.num_clips == 4
    assert feature_set.clip_ids.tolist() == ["v0.000.mp4", "v0.001.mp4", "v1.002.mp4", "v1.003.mp4"]
    assert feature_set.groups.tolist() == ["v0", "v0", "v1", "v1"]
    assert feature_set.has_groups
    assert feature_set.split_column is None
    assert (feature_set.metadata, feature_set.encoder) == ({"encoder": "hog"}, "hog")
    assert feature_set.features_dir == features_dir
    assert feature_set.checked_labels() is feature_set.labels
    np.testing.assert_array_equal(feature_set.labels, np.load(features_dir / "labels.npy"))
    for stream in feature_set.streams.values():
        expected = np.load(features_dir / f"{stream.name}.npy")
        np.testing.assert_array_equal(stream.read(ALL), expected)
    np.testing.assert_array_equal(feature_set.streams["static"].read_mask(ALL), mask)
    assert not feature_set.streams["dynamic"].has_mask


def test_without_a_table_each_clip_is_its_own_group(write_files):
    feature_set = load_feature_set(write_files(clips__csv=None))
    assert not feature_set.has_groups
    assert feature_set.clip_ids.tolist() == feature_set.groups.tolist()
    assert feature_set.clip_ids[3] == "row-000003"


def test_the_column_group_is_optional_if_it_is_not_needed(write_files):
    features_dir = write_files(clips__csv=pd.DataFrame({"clip_id": list("abcd")}))
    with pytest.raises(FeatureSetError, match="no column group"):
        load_feature_set(features_dir)
    features = load_feature_set(features_dir, needs_group=False)
    assert features.groups.tolist() == features.clip_ids.tolist() == list("abcd")


def test_single_files_load_like_the_directory(write_files, tmp_path):
    mask = np.ones((4, 3), dtype=bool)
    features_dir = write_files(static_mask__npy=mask)
    whole = load_feature_set(features_dir)
    (features_dir / "static.npy").rename(tmp_path / "face.npy")
    (features_dir / "static_mask.npy").rename(tmp_path / "face_mask.npy")
    streams = {"static": tmp_path / "face.npy", "dynamic": features_dir / "dynamic.npy"}
    loaded = load_feature_files(
        streams, labels=features_dir / "labels.npy", clips=features_dir / "clips.csv"
    )
    assert loaded.streams["static"].has_mask
    assert loaded.digest == whole.digest
    only_features = load_feature_files(streams)
    assert only_features.labels is None
    assert not only_features.has_groups


def test_shards_load_like_the_whole(write_files, tmp_path):
    mask = np.arange(3) <= np.arange(8)[:, np.newaxis] % 3
    seconds = np.arange(24, dtype=np.float32).reshape(8, 3)
    seconds[5, 2] = np.nan
    features_dir = write_files(num_clips=8, static_mask__npy=mask, seconds__npy=seconds)
    whole = load_feature_set(features_dir)
    sharded = load_feature_set(split_into_shards(features_dir, tmp_path / "shards", [3, 4, 8]))
    rows = np.array([7, 0, 3, 3, 5])
    assert sharded.digest == whole.digest
    assert sharded.clip_ids.tolist() == whole.clip_ids.tolist()
    np.testing.assert_array_equal(sharded.labels, whole.labels)
    found, expected = sharded.streams["static"], whole.streams["static"]
    np.testing.assert_array_equal(found.read(rows), expected.read(rows))
    np.testing.assert_array_equal(found.read_mask(rows), expected.read_mask(rows))
    np.testing.assert_array_equal(sharded.seconds["static"].read(rows), seconds[rows])


@pytest.fixture
def open_file_limit():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield limits
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_limit_of_open_files_is_raised_if_needed(write_files, tmp_path, open_file_limit):
    sharded = split_into_shards(write_files("whole"), tmp_path / "shards", range(1, 5))
    with (tmp_path / "last").open("w") as last:
        room_for_five = last.fileno() + 6
    resource.setrlimit(resource.RLIMIT_NOFILE, (room_for_five, open_file_limit[1]))
    features = load_feature_set(sharded)
    assert len(features.streams["static"].read(np.arange(4))) == 4
    assert room_for_five < resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1000


def test_more_files_than_the_system_allows_are_an_error(write_files, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 200))
    with pytest.raises(FeatureSetError, match=r"set has 4 files.*allows 200.*ulimit"):
        load_feature_set(write_files())


def test_sub_directories_beside_the_streams_are_not_read(write_files, monkeypatch):
    features_dir = write_files("set")
    (features_dir / "lost+found").mkdir()
    (features_dir / "lost+found").chmod(0)
    monkeypatch.setattr(Path, "iterdir", lambda path: pytest.fail(f"{path} is listed"))
    assert load_feature_set(features_dir).num_clips == 4


def test_a_sharded_set_has_the_metadata_that_all_shards_share(write_files, tmp_path):
    for number in (1, 2):
        metadata = json.dumps({"encoder": "x", "seconds": number})
        write_files(f"shards/{number}", clips__csv=None, features__json=metadata)
    # Unfinished and unrelated directories are ignored.
    write_files("shards/.one.1234", clips__csv=None)
    (tmp_path / "shards" / "figures").mkdir()
    sharded = load_feature_set(tmp_path / "shards")
    assert sharded.metadata == {"encoder": "x"}
    assert sharded.num_clips == 8


@pytest.mark.parametrize("dtype", ["float64", ">f4"])
def test_the_hash_does_not_depend_on_the_storage(write_files, dtype):
    features_dir = write_files()
    expected = load_feature_set(features_dir).digest
    static = np.load(features_dir / "static.npy")
    np.save(features_dir / "static.npy", np.asfortranarray(static.astype(dtype)))
    np.save(features_dir / "seconds.npy", np.zeros((4, 3)))
    assert load_feature_set(features_dir).digest == expected


@pytest.mark.parametrize("name", ["static.npy", "dynamic.npy", "labels.npy", "static_mask.npy"])
def test_every_array_changes_the_hash(write_files, name):
    features_dir = write_files(static_mask__npy=np.ones((4, 3), dtype=bool))
    before = load_feature_set(features_dir).digest
    array = np.load(features_dir / name)
    array.flat[-1] = 0
    np.save(features_dir / name, array)
    assert load_feature_set(features_dir).digest != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "does not exist"),
        ("one/static.npy", "is a file"),
        ("empty", "has no stream"),
        (".", r"partial: has the streams dynamic, but .*one has static, dynamic"),
    ],
)
def test_a_bad_directory_is_an_error(write_files, tmp_path, name, message):
    write_files("one")
    write_files("partial", static__npy=None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FeatureSetError, match=message):
        load_feature_set(tmp_path / name)


def test_a_set_is_not_kept_in_memory(write_files):
    features_dir = write_files(clips__csv=None, labels__npy=None, num_clips=64)
    np.save(features_dir / "static.npy", np.zeros((64, 64, 4096), dtype=np.float32))  # 64 MiB
    tracemalloc.start()
    feature_set = load_feature_set(features_dir)
    after_loading, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    feature_set.streams["static"].read(np.array([5]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    shutil.rmtree(features_dir)
    assert after_loading < 4 * 2**20
    assert peak - after_loading < 4 * 2**20


def test_the_real_features_load_in_two_seconds_of_cpu_time(shared_data):
    start = time.process_time()
    feature_set = load_feature_set(shared_data / "first_impressions")
    assert time.process_time() - start < 2
    assert feature_set.streams["static"].shape == feature_set.streams["dynamic"].shape == (6000, 6)
    assert feature_set.checked_labels().shape == (6000, 5)
    assert feature_set.clip_ids[0] == "--Ymqszjv54.001.mp4"
    assert len(set(feature_set.groups.tolist())) == 2624
    # The hash must never change: run directories store it.
    expected = "dff882ef78c1ec7b50b67fc1ea11f6ad69fef71349fb061ffbf28470d17890e7"
    assert feature_set.digest == expected


def described(**changes) -> str:
    traits = [asdict(trait) for trait in FIRST_IMPRESSIONS]
    traits[4] |= changes
    return json.dumps({"traits": traits})


@pytest.mark.parametrize("metadata", [described(), described(range=[1, 7])])
def test_the_direction_of_each_trait_is_read(write_files, metadata):
    assert load_feature_set(write_files(features__json=metadata)).traits == FIRST_IMPRESSIONS
    assert load_feature_set(write_files("other")).traits == ()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (described(is_reversed="perhaps"), r"traits\.4\.is_reversed is not valid"),
        (described(name="openness"), "must name .* but openness occurs twice"),
        (described(name="mean"), "`mean` is the name of the mean"),
        (described(name="a/b"), "'a/b' contains other characters"),
        ('{"traits": "neuroticism"}', "traits is not valid"),
    ],
)
def test_a_bad_description_of_traits_is_an_error(write_files, metadata, message):
    with pytest.raises(FeatureSetError, match=rf"features\.json: .*{message}"):
        load_feature_set(write_files(features__json=metadata))


def test_the_description_of_traits_belongs_to_the_labels_beside_it(write_files):
    features_dir = write_files(features__json=described())
    streams = {name: features_dir / f"{name}.npy" for name in ("static", "dynamic")}
    own = load_feature_files(streams, labels=features_dir / "labels.npy")
    others = load_feature_files(streams, labels=write_files("other") / "labels.npy")
    assert (own.traits, others.traits) == (FIRST_IMPRESSIONS, ())


AUDIO_MASK = np.array([[True, True], [False, False], [True, False], [True, True]])


@pytest.fixture
def three_streams(write_files):
    """A set with a third stream that clip 1 lacks."""
    audio = np.arange(16, dtype=np.float32).reshape(4, 2, 2)
    return write_files(audio__npy=audio, audio_mask__npy=AUDIO_MASK)


def test_a_set_has_any_number_of_streams(three_streams, write_files):
    features = load_feature_set(three_streams)
    assert list(features.streams) == ["static", "dynamic", "audio"]
    assert features.streams["audio"].is_absent.tolist() == [False, True, False, False]
    one = load_feature_set(write_files("one", static__npy=None))
    assert list(one.streams) == ["dynamic"]
    assert one.warnings == ()


def test_streams_can_be_chosen_before_or_after_loading(three_streams):
    chosen = load_feature_set(three_streams, streams=("audio", "static"))
    all_streams = load_feature_set(three_streams)
    with pytest.raises(FeatureSetError, match=r"clip v0\.001\.mp4.* no valid step in any stream"):
        all_streams.select_streams(("audio",))
    selected = all_streams.select_streams(("audio", "static"))
    assert list(selected.streams) == list(chosen.streams) == ["audio", "static"]
    assert selected.digest == chosen.digest != all_streams.digest
    assert all_streams.select_streams(tuple(all_streams.streams)) is all_streams
    with pytest.raises(FeatureSetError, match=r"has no stream adio.*audio"):
        all_streams.select_streams(("adio",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"static_mask__npy": np.zeros((4, 3), bool)},
            r"static_mask\.npy: row 0 \(clip v0\.000\.mp4\) and all other rows have no valid step",
        ),
        (
            {
                "static_mask__npy": np.array([[True] * 3] * 2 + [[False] * 3] * 2),
                "dynamic_mask__npy": np.array([True, False, False, True]),
            },
            r"row 2 \(clip v1\.002\.mp4\) has no valid step in any stream \(static, dynamic\)",
        ),
    ],
)
def test_each_clip_has_a_stream_and_each_stream_a_clip(write_files, changes, message):
    with pytest.raises(FeatureSetError, match=message):
        load_feature_set(write_files(**changes))


def test_one_shard_may_lack_a_stream_that_another_shard_has(three_streams, tmp_path):
    sharded = load_feature_set(split_into_shards(three_streams, tmp_path / "shards", [1, 2, 4]))
    assert sharded.streams["audio"].is_absent.tolist() == [False, True, False, False]


def named_traits(*names) -> str:
    return json.dumps({"traits": [{"name": name, "is_reversed": name == "b"} for name in names]})


def test_traits_are_chosen_and_ordered_by_name(write_files):
    labels = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    features_dir = write_files(labels__npy=labels, features__json=named_traits("a", "b", "c"))
    features = load_feature_set(features_dir)
    assert features.trait_names == ("a", "b", "c")
    np.testing.assert_array_equal(features.labels, labels)
    chosen = load_feature_set(features_dir, traits=("c", "b"))
    assert chosen.trait_names == tuple(trait.name for trait in chosen.traits) == ("c", "b")
    assert [trait.is_reversed for trait in chosen.traits] == [False, True]
    np.testing.assert_array_equal(chosen.labels, labels[:, [2, 1]])
    assert chosen.digest != features.digest
    with pytest.raises(FeatureSetError, match=r"has no trait d; the columns .* are a, b, c"):
        load_feature_set(features_dir, traits=("d",))


def test_ocean_traits_are_chosen_without_a_description(write_files):
    features = load_feature_set(write_files(), traits=("neuroticism", "openness"))
    assert features.labels.shape == (4, 2)
    assert features.trait_names == ("neuroticism", "openness")
    assert features.traits == (TraitLabel(name="neuroticism"), TraitLabel(name="openness"))


def test_the_names_of_other_traits_change_the_hash(write_files):
    labels = {"labels__npy": np.full((4, 2), 0.5)}
    digests = {
        load_feature_set(write_files(**labels, features__json=named_traits(*names))).digest
        for names in (("a", "b"), ("a", "c"))
    }
    assert len(digests) == 2
