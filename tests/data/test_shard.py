import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel
from pipeline.data.shard import ShardPaths, check_agreement, open_shard

MASK = np.ones((4, 3), dtype=bool)
SECONDS = np.float32([[0, 0.5, np.nan]] * 4)


def open_directory(features_dir):
    return open_shard(ShardPaths.of_directory(features_dir))


def table(letter: str, num_clips: int = 4, **columns: list[str]) -> pd.DataFrame:
    ids = [f"{letter}{row}" for row in range(num_clips)]
    return pd.DataFrame({"clip_id": ids, "group": ids, **columns})


def test_times_of_the_steps_are_mapped(write_files):
    assert open_directory(write_files()).seconds == {}
    opened = open_directory(write_files(seconds__npy=SECONDS))
    assert list(opened.seconds) == ["static"]  # the dynamic stream has no steps
    np.testing.assert_array_equal(opened.seconds["static"].values, SECONDS)
    assert isinstance(opened.seconds["static"].values.base, np.memmap)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"static__npy": None, "static_mask__npy": MASK},
            r"static_mask\.npy: belongs to .*/static",
        ),
        (
            {"dynamic__npy": None, "features__json": '{"files": {"dynamic.npy": {}}}'},
            r"describes the stream dynamic, but .*dynamic\.npy: there is no such file",
        ),
        ({"dynamic__npy": np.zeros((5, 2))}, r"dynamic\.npy: has 5 rows, but .*static\.npy has 4"),
        ({"labels__npy": np.zeros((5, 5))}, r"labels\.npy: has 5 rows, but .*static\.npy has 4"),
        ({"clips__csv": table("a", 5)}, r"clips\.csv: has 5 rows, but .*static\.npy has 4"),
        ({"labels__npy": np.array(0.5)}, "has 0 rows"),
        ({"labels__npy": np.full((4, 5), 1e300)}, "a score must be in"),
        ({"static_mask__npy": np.ones((4, 3))}, r"mask\.npy: must contain .* type float64"),
        ({"static_mask__npy": np.ones((5, 3), bool)}, r"shape \(4, 3\) .* has shape \(5, 3\)"),
        ({"dynamic_mask__npy": MASK}, "which have no steps, but has shape"),
        ({"features__json": "[1]"}, "must contain a JSON object, but contains a list"),
        (
            {"seconds__npy": SECONDS[:3]},
            r"seconds\.npy: has shape \(3, 3\), but must have one time",
        ),
        ({"seconds__npy": SECONDS[:, :2]}, r"seconds\.npy: has shape \(4, 2\)"),
        (
            {"seconds__npy": SECONDS, "static__npy": np.ones((4, 2))},
            r"of shape \(4, 2\) and \(4, 5\)\. Delete the file",
        ),
        (
            {"seconds__npy": SECONDS + np.float32([[0], [0], [np.inf], [0]])},
            "row 2 has inf in step 0",
        ),
        ({"seconds__npy": SECONDS.astype(str)}, "has values of type <U"),
    ],
    ids=range(16),
)
def test_a_bad_file_is_an_error(write_files, changes, message):
    with pytest.raises(FeatureSetError, match=message):
        open_directory(write_files(**changes))


HOG = {"features__json": '{"encoder": "hog"}'}
RESCALED = {
    "features__json": json.dumps(
        {"traits": [asdict(TraitLabel(name=name, label_range=(1, 7))) for name in TRAITS]}
    )
}
REVERSED = {"features__json": json.dumps({"traits": [asdict(each) for each in FIRST_IMPRESSIONS]})}


def test_times_are_ignored_for_streams_with_other_names(write_files):
    features_dir = write_files(seconds__npy=SECONDS, **HOG)
    (features_dir / "dynamic.npy").rename(features_dir / "motion.npy")
    paths = ShardPaths.of_files(
        {"static": features_dir / "static.npy", "dynamic": features_dir / "motion.npy"}
    )
    shard = open_shard(paths)
    assert shard.seconds == {}
    assert shard.metadata["encoder"] == "hog"


def test_files_of_two_directories_have_no_metadata(write_files):
    one, two = (write_files(name, **HOG) for name in ("one", "two"))
    paths = ShardPaths.of_files({"static": one / "static.npy", "dynamic": two / "dynamic.npy"})
    assert open_shard(paths).metadata == {}


def test_metadata_of_other_files_is_ignored(write_files):
    described = {"encoder": "hog", "files": {"static.npy": {}, "dynamic.npy": {}}}
    features_dir = write_files(features__json=json.dumps(described))
    assert open_directory(features_dir).metadata["encoder"] == "hog"
    (features_dir / "static.npy").rename(features_dir / "mine.npy")
    paths = ShardPaths.of_files(
        {"static": features_dir / "mine.npy", "dynamic": features_dir / "dynamic.npy"}
    )
    assert open_shard(paths).metadata == {}


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ({}, {"features__json": '{"seconds": 2}'}, None),
        (HOG, HOG, None),
        (HOG, {"features__json": '{"encoder": "resnet"}'}, "is 'resnet' here and 'hog' there"),
        (HOG, {}, "two: the encoder is unknown"),
        ({}, HOG, "one: the encoder is unknown"),
        ({}, {"static__npy": np.zeros((4, 9, 2))}, r"\(9, 2\), but .*one has \(3, 2\)"),
        ({}, {"dynamic__npy": np.zeros((4, 1, 5))}, r"\(1, 5\), but .*one has \(5,\)"),
        ({}, {"labels__npy": None}, r"files static\.npy, dynamic\.npy, clips\.csv, but"),
        ({}, {"static_mask__npy": MASK}, r"static_mask\.npy.*, but"),
        ({}, {"clips__csv": None}, r"files static\.npy, dynamic\.npy, labels\.npy, but"),
        ({}, {"clips__csv": table("b", age=["1"] * 4)}, "columns clip_id, group, age, but"),
        ({}, {"clips__csv": table("a")}, "'a0' occurs twice, in row 0 of .*one"),
        ({}, REVERSED, "labels scored in reverse: neuroticism, but .*one has none"),
        ({}, RESCALED, "two: has annotations from 1 to 7, but .*one has 0 to 1"),
        (RESCALED, RESCALED, None),
    ],
    ids=range(15),
)
def test_shards_must_agree(write_files, one, two, message):
    shards = [
        open_directory(write_files("one", **{"clips__csv": table("a"), **one})),
        open_directory(write_files("two", **{"clips__csv": table("b"), **two})),
    ]
    if message is None:
        check_agreement(shards)
    else:
        with pytest.raises(FeatureSetError, match=message):
            check_agreement(shards)


def test_every_other_array_is_a_stream_in_the_default_order(write_files):
    features_dir = write_files(
        audio__npy=np.ones((4, 2, 6)), Pose__npy=np.ones((4, 3)), audio_mask__npy=MASK[:, :2]
    )
    shard = open_directory(features_dir)
    assert list(shard.streams) == ["static", "dynamic", "Pose", "audio"]
    assert shard.streams["audio"].mask is not None


def test_the_description_defines_the_order_of_the_streams(write_files):
    streams = '{"streams": ["audio", "dynamic", "static"]}'
    features_dir = write_files(audio__npy=np.ones((4, 2, 6)), features__json=streams)
    assert list(open_directory(features_dir).streams) == ["audio", "dynamic", "static"]


def test_streams_are_chosen_and_ordered_by_name(write_files):
    features_dir = write_files(
        audio__npy=np.ones((4, 2, 6)), notes__npy=np.array(["x"]), seconds__npy=SECONDS
    )
    paths = ShardPaths.of_directory(features_dir, streams=("audio", "dynamic"))
    shard = open_shard(paths)  # `notes.npy` is no stream, and is not opened
    assert list(shard.streams) == ["audio", "dynamic"]
    assert shard.seconds == {}  # the times belong to the static stream


@pytest.mark.parametrize(
    ("changes", "streams", "message"),
    [
        ({"face_to_face__npy": MASK}, (), r"face_to_face\.npy: .*must not contain _to_"),
        ({"traits__npy": MASK}, (), r"traits\.npy: .*must not be labels, seconds, traits"),
        ({"audio_mask__npy": MASK}, (), r"audio_mask\.npy: belongs to .*audio\.npy, but there"),
        ({"audio_seconds__npy": SECONDS}, (), r"audio_seconds\.npy: belongs to .*audio\.npy"),
        (
            {"features__json": '{"streams": ["static", "dynamic", "audio"]}'},
            (),
            r"features\.json: describes the stream audio, but .*audio\.npy: there is no such file",
        ),
        (
            {"features__json": '{"streams": ["static"]}'},
            (),
            r"dynamic\.npy: is not in `streams` of features\.json \(static\)",
        ),
        ({"features__json": '{"streams": "static"}'}, (), "`streams` must be a list of names"),
        ({}, ("static", "audio"), "has no stream audio; the streams are static, dynamic"),
    ],
    ids=range(8),
)
def test_a_wrong_set_of_streams_is_an_error(write_files, changes, streams, message):
    with pytest.raises(FeatureSetError, match=message):
        ShardPaths.of_directory(write_files(**changes), streams=streams)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_mask_of_vectors_has_one_value_per_clip(write_files, shape):
    mask = np.array([True, False, True, True])
    shard = open_directory(write_files(dynamic_mask__npy=mask.reshape(shape)))
    assert shard.streams["dynamic"].mask.tolist() == [[True], [False], [True], [True]]


def test_each_stream_can_have_its_own_times(write_files):
    own = np.arange(8.0).reshape(4, 2)
    features_dir = write_files(
        audio__npy=np.ones((4, 2, 6)),
        audio_seconds__npy=own,
        pose__npy=np.ones((4, 3, 1)),
        pose_seconds__npy=SECONDS + 1,
        seconds__npy=SECONDS,
    )
    seconds = open_directory(features_dir).seconds
    assert list(seconds) == ["static", "audio", "pose"]
    np.testing.assert_array_equal(seconds["static"].values, SECONDS)
    np.testing.assert_array_equal(seconds["audio"].values, own)
    np.testing.assert_array_equal(seconds["pose"].values, SECONDS + 1)


@pytest.mark.parametrize("times", [SECONDS, SECONDS[:, :2] + np.inf])
def test_times_of_a_stream_that_do_not_fit_are_an_error(write_files, times):
    audio = {"audio__npy": np.ones((4, 2, 6)), "audio_seconds__npy": times}
    with pytest.raises(FeatureSetError, match=r"audio_seconds\.npy: (has shape|row 0 has inf)"):
        open_directory(write_files(**audio))


@pytest.mark.parametrize(
    ("traits", "num_columns", "message"),
    [
        (("warmth", "humour", "interview"), 3, None),
        (("honesty",), 1, None),
        (("warmth", "humour"), 3, r"must have shape \(4, 2\) with the columns warmth, humour"),
    ],
)
def test_the_description_names_the_columns_of_the_labels(write_files, traits, num_columns, message):
    description = json.dumps({"traits": [{"name": name} for name in traits]})
    labels = np.full((4, num_columns), 0.5)
    features_dir = write_files(labels__npy=labels, features__json=description)
    if message is None:
        assert open_directory(features_dir).trait_names == traits
    else:
        with pytest.raises(FeatureSetError, match=message):
            open_directory(features_dir)
