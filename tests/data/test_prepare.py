import pickle
import re

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import AnnotationError
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.data.feature_set import load_feature_set
from pipeline.data.prepare import join_annotations, prepare_feature_set
from pipeline.data.readers.annotations import Annotations

IDS = ["v1.003.mp4", "v0.000.mp4", "v1.002.mp4", "v0.001.mp4"]


def annotations_of(scores: dict[str, float]) -> Annotations:
    """Return annotations with the same score for all traits of a clip."""
    table = pd.DataFrame({trait: list(scores.values()) for trait in TRAITS}, index=list(scores))
    return Annotations(scores=table)


def test_labels_are_joined_by_clip_id():
    joined = join_annotations(annotations_of({"a": 0.1, "b": 0.2, "c": 0.3}), ["c", "x", "a"])
    np.testing.assert_array_equal(joined.labels[[0, 2], 0], np.float32([0.3, 0.1]))
    assert np.isnan(joined.labels[1]).all()
    assert joined.is_labelled.tolist() == [True, False, True]
    assert (joined.unlabelled, joined.unused_annotations) == (("x",), 1)


@pytest.mark.parametrize("clip", ["v.001", "v.001.mp4", "v.001.AVI"])
@pytest.mark.parametrize("annotated", ["v.001", "v.001.mp4", "v.001.mkv"])
def test_video_suffixes_are_ignored(clip, annotated):
    assert join_annotations(annotations_of({annotated: 0.5}), [clip]).is_labelled.all()


def test_other_endings_are_not_ignored():
    joined = join_annotations(annotations_of({"v.001": 0.5}), ["v.002", "v"])
    assert joined.unlabelled == ("v.002", "v")
    assert joined.unused_annotations == 1


@pytest.mark.parametrize(
    ("annotated", "clips", "origin"),
    [
        ({"a.mp4": 0.1, "a.avi": 0.2}, ["b"], "annotations"),
        ({"b": 0.1}, ["a", "a.mp4"], "features"),
    ],
)
def test_two_ids_of_the_same_clip_are_an_error(annotated, clips, origin):
    with pytest.raises(AnnotationError, match=f"The {origin} contain both 'a.*' and 'a.*'"):
        join_annotations(annotations_of(annotated), clips)


@pytest.fixture
def prepare(write_files, tmp_path):
    """Return a function that prepares the clips of `write_files` with the given annotations."""

    def prepare(annotated: list[str], *, changes: dict | None = None, **options):
        features_dir = write_files("extracted", labels__npy=None, **(changes or {}))
        scores = {clip: (number + 1) / 10 for number, clip in enumerate(annotated)}
        path = tmp_path / "annotation.pkl"
        path.write_bytes(pickle.dumps(dict.fromkeys(TRAITS, scores), protocol=2))
        return prepare_feature_set(
            annotations_paths=[path],
            static_features=features_dir / "static.npy",
            dynamic_features=features_dir / "dynamic.npy",
            clips=features_dir / "clips.csv",
            features_dir=tmp_path / "prepared",
            **options,
        )

    return prepare


def test_a_prepared_set_has_the_features_and_labels_of_each_clip(prepare, tmp_path):
    metadata = '{"encoder": "hog", "settings": {"a": 1}, "b": 2}'
    summary = prepare([*IDS, "v9.000.mp4"], changes={"features__json": metadata})
    assert (summary.num_clips, summary.num_groups) == (4, 2)
    assert (summary.unlabelled, summary.unused_annotations) == ((), 1)
    assert summary.traits == FIRST_IMPRESSIONS
    prepared = load_feature_set(tmp_path / "prepared")
    extracted = load_feature_set(tmp_path / "extracted")
    rows = np.arange(4)
    np.testing.assert_array_equal(prepared.checked_labels()[:, 2], np.float32([0.2, 0.4, 0.3, 0.1]))
    for name, stream in prepared.streams.items():
        np.testing.assert_array_equal(stream.read(rows), extracted.streams[name].read(rows))
    assert prepared.traits == FIRST_IMPRESSIONS
    assert (prepared.encoder, prepared.metadata["settings"]) == ("hog", {"a": 1})
    assert set(prepared.metadata) == {
        "encoder",
        "settings",
        "traits",
        "annotations",
        "files",
        "streams",
    }
    assert list(prepared.metadata["annotations"]) == ["annotation.pkl"]


def test_clips_without_annotation_are_dropped_on_request(prepare, tmp_path):
    mask = np.array([[True, False, False], [True] * 3, [True] * 3, [True, True, False]])
    seconds = np.arange(12, dtype=np.float32).reshape(4, 3)
    changes = {"static_mask__npy": mask, "seconds__npy": seconds}
    summary = prepare(["v1.003", "v0.000"], allow_unlabelled=True, changes=changes)
    assert summary.unlabelled == ("v0.001.mp4", "v1.002.mp4")
    prepared = load_feature_set(tmp_path / "prepared")
    extracted = load_feature_set(tmp_path / "extracted")
    rows, kept = np.arange(2), np.array([0, 3])
    assert prepared.clip_ids.tolist() == ["v0.000.mp4", "v1.003.mp4"]
    np.testing.assert_array_equal(prepared.checked_labels()[:, 0], np.float32([0.2, 0.1]))
    static = prepared.streams["static"]
    np.testing.assert_array_equal(static.read(rows), extracted.streams["static"].read(kept))
    np.testing.assert_array_equal(static.read_mask(rows), mask[kept])
    np.testing.assert_array_equal(prepared.seconds["static"].read(rows), seconds[kept])


def test_a_missing_group_is_derived_and_other_columns_are_kept(prepare, tmp_path):
    table = pd.DataFrame({"clip_id": sorted(IDS), "age": ["1", "2", "3", "4"]})
    prepare(IDS, changes={"clips__csv": table})
    clips = load_feature_set(tmp_path / "prepared").clips
    assert clips["group"].tolist() == ["v0", "v0", "v1", "v1"]
    assert clips["age"].tolist() == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("annotated", "options", "words"),
    [
        (["v0.000.mp4"], {}, ("3 of 4 clips have no", "'v0.001.mp4', and", "is 'v0.000.mp4'")),
        (["other"], {"allow_unlabelled": True}, ("4 of 4 clips", "no annotated name is similar")),
        ([clip.upper() for clip in IDS], {}, ("'v0.000.mp4'", "'V0.000.MP4'")),
        ([f"videos/{clip}" for clip in IDS], {}, ("'v0.000.mp4'", "'videos/v0.000.mp4'")),
    ],
)
def test_missing_annotations_are_an_error_with_the_nearest_name(
    prepare, tmp_path, annotated, options, words
):
    with pytest.raises(AnnotationError, match=".*".join(map(re.escape, words))):
        prepare(annotated, **options)
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize(
    "odd", ["{} ", "\u00a0{}", "{}\u200b", "\ufeff{}"], ids=["blank", "nbsp", "zero width", "bom"]
)
def test_ids_with_invisible_differences_are_joined(prepare, odd):
    summary = prepare([odd.format(clip) for clip in IDS])
    assert (summary.num_clips, summary.unlabelled) == (4, ())
