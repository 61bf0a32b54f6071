import pickle
import re
import unicodedata

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import AnnotationError, FeatureSetError
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.data.feature_set import load_feature_set
from pipeline.data.prepare import join_annotations, prepare_feature_set
from pipeline.data.readers.annotations import Annotations


def annotations_of(**scores: float) -> Annotations:
    """Each clip has one score for all traits; `__` stands for a dot."""
    index = [name.replace("__", ".") for name in scores]
    table = pd.DataFrame({trait: list(scores.values()) for trait in TRAITS}, index=index)
    return Annotations(scores=table)


def test_labels_follow_the_clips_and_not_the_rows():
    joined = join_annotations(annotations_of(a=0.1, b=0.2, c=0.3), ["c", "a"])
    np.testing.assert_array_equal(joined.labels[:, 0], np.float32([0.3, 0.1]))
    assert joined.is_labelled.all()
    assert joined.unlabelled == ()
    assert joined.unused_annotations == 1


@pytest.mark.parametrize("clip", ["v.001", "v.001.mp4", "v.001.AVI"])
@pytest.mark.parametrize("annotated", ["v__001", "v__001__mp4", "v__001__mkv"])
def test_the_video_suffix_makes_no_difference(clip, annotated):
    assert join_annotations(annotations_of(**{annotated: 0.5}), [clip]).is_labelled.all()


def test_another_ending_makes_a_difference():
    joined = join_annotations(annotations_of(v__001=0.5), ["v.002", "v"])
    assert joined.unlabelled == ("v.002", "v")
    assert joined.unused_annotations == 1


def test_a_clip_without_annotation_has_no_invented_label():
    joined = join_annotations(annotations_of(a=0.5), ["b", "a"])
    assert np.isnan(joined.labels[0]).all()
    assert joined.is_labelled.tolist() == [False, True]


@pytest.mark.parametrize(
    ("annotated", "clips", "side"),
    [
        ({"a__mp4": 0.1, "a__avi": 0.2}, ["b"], "annotations"),
        ({"b": 0.1}, ["a", "a.mp4"], "features"),
    ],
)
def test_ids_that_name_the_same_clip_are_refused(annotated, clips, side):
    with pytest.raises(AnnotationError, match=f"The {side} hold both 'a.*' and 'a.*'"):
        join_annotations(annotations_of(**annotated), clips)


@pytest.fixture
def prepare(write_files, tmp_path):
    """Return a function that prepares the four clips of `write_files` for the clips annotated."""

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


IDS = ["v1.003.mp4", "v0.000.mp4", "v1.002.mp4", "v0.001.mp4"]


def test_a_prepared_set_holds_the_features_and_the_labels_of_each_clip(prepare, tmp_path):
    summary = prepare([*IDS, "v9.000.mp4"])
    assert (summary.num_clips, summary.num_groups) == (4, 2)
    assert (summary.unlabelled, summary.unused_annotations) == ((), 1)
    prepared = load_feature_set(tmp_path / "prepared")
    extracted = load_feature_set(tmp_path / "extracted")
    np.testing.assert_array_equal(prepared.checked_labels()[:, 2], np.float32([0.2, 0.4, 0.3, 0.1]))
    rows = np.arange(4)
    np.testing.assert_array_equal(prepared.static.read(rows), extracted.static.read(rows))
    np.testing.assert_array_equal(prepared.dynamic.read(rows), extracted.dynamic.read(rows))
    assert list(prepared.metadata["annotations"]) == ["annotation.pkl"]


def test_what_made_the_features_is_still_known_of_a_prepared_set(prepare, tmp_path):
    prepare(IDS, changes={"features__json": '{"encoder": "hog", "settings": {"a": 1}, "b": 2}'})
    metadata = load_feature_set(tmp_path / "prepared").metadata
    assert (metadata["encoder"], metadata["settings"]) == ("hog", {"a": 1})
    assert set(metadata) == {"encoder", "settings", "traits", "annotations", "files"}


def test_the_times_of_the_steps_go_with_their_clips(prepare, tmp_path):
    seconds = np.arange(12, dtype=np.float32).reshape(4, 3)
    prepare(IDS[:2], changes={"seconds__npy": seconds}, allow_unlabelled=True)
    prepared = load_feature_set(tmp_path / "prepared")
    np.testing.assert_array_equal(prepared.seconds.read(np.arange(2)), seconds[[0, 3]])


def test_the_group_is_derived_where_there_is_none_and_other_columns_are_kept(prepare, tmp_path):
    table = pd.DataFrame({"clip_id": sorted(IDS), "age": ["1", "2", "3", "4"]})
    prepare(IDS, changes={"clips__csv": table})
    clips = load_feature_set(tmp_path / "prepared").clips
    assert clips["group"].tolist() == ["v0", "v0", "v1", "v1"]
    assert clips["age"].tolist() == ["1", "2", "3", "4"]


def test_a_group_that_is_given_is_kept(prepare, tmp_path):
    table = pd.DataFrame({"clip_id": sorted(IDS), "group": ["p", "q", "p", "r"]})
    assert prepare(IDS, changes={"clips__csv": table}).num_groups == 3
    assert load_feature_set(tmp_path / "prepared").groups.tolist() == ["p", "q", "p", "r"]


def test_clips_without_annotation_are_refused_with_the_nearest_name(prepare, tmp_path):
    message = (
        r"3 of 4 clips have no annotation\. The first is 'v0\.001\.mp4', and the annotation with "
        r"the nearest name is of 'v0\.000\.mp4'"
    )
    with pytest.raises(AnnotationError, match=message):
        prepare(["v0.000.mp4"])
    assert not (tmp_path / "prepared").exists()


def test_clips_without_annotation_are_dropped_on_request(prepare, tmp_path):
    mask = np.array([[True, False, False], [True] * 3, [True] * 3, [True, True, False]])
    summary = prepare(
        ["v1.003", "v0.000"], allow_unlabelled=True, changes={"static_mask__npy": mask}
    )
    assert summary.unlabelled == ("v0.001.mp4", "v1.002.mp4")
    prepared = load_feature_set(tmp_path / "prepared")
    extracted = load_feature_set(tmp_path / "extracted")
    kept = np.array([0, 3])
    assert prepared.clip_ids.tolist() == ["v0.000.mp4", "v1.003.mp4"]
    np.testing.assert_array_equal(prepared.checked_labels()[:, 0], np.float32([0.2, 0.1]))
    np.testing.assert_array_equal(prepared.static.read(np.arange(2)), extracted.static.read(kept))
    np.testing.assert_array_equal(prepared.static.read_mask(np.arange(2)), mask[kept])


def test_a_set_is_not_prepared_without_a_single_label(prepare):
    with pytest.raises(AnnotationError, match=r"4 of 4 clips .*no annotation has a name like it"):
        prepare(["other"], allow_unlabelled=True)


@pytest.mark.parametrize(
    "odd", ["{} ", "\u00a0{}", "{}\u200b", "\ufeff{}"], ids=["blank", "nbsp", "zero width", "bom"]
)
def test_ids_that_differ_invisibly_are_joined(prepare, odd):
    summary = prepare([odd.format(clip) for clip in IDS])
    assert (summary.num_clips, summary.unlabelled) == (4, ())


def test_ids_in_composed_and_decomposed_accents_are_joined(prepare):
    names = ["é0.mp4", "é1.mp4", "ü2.mp4", "ü3.mp4"]
    table = pd.DataFrame({"clip_id": [unicodedata.normalize("NFD", name) for name in names]})
    assert prepare(names, changes={"clips__csv": table}).num_clips == 4


@pytest.mark.parametrize(
    ("annotated", "clip", "near"),
    [
        ([clip.upper() for clip in IDS], "v0.000.mp4", "V0.000.MP4"),
        ([f"videos/{clip}" for clip in IDS], "v0.000.mp4", "videos/v0.000.mp4"),
    ],
)
def test_ids_that_differ_in_case_or_folder_are_shown_side_by_side(prepare, annotated, clip, near):
    message = re.escape(f"{clip!r}, and the annotation with the nearest name is of {near!r}")
    with pytest.raises(AnnotationError, match=message):
        prepare(annotated)


def test_the_direction_of_each_trait_is_kept(prepare, tmp_path):
    assert prepare(IDS).traits == FIRST_IMPRESSIONS
    prepared = load_feature_set(tmp_path / "prepared")
    assert prepared.traits == FIRST_IMPRESSIONS
    assert prepared.metadata["traits"][4]["is_reversed"] is True


def test_a_mask_with_a_row_too_many_is_refused(prepare):
    mask = np.ones((5, 3), dtype=bool)
    with pytest.raises(FeatureSetError, match=r"static_mask\.npy: has shape \(5, 3\)"):
        prepare(IDS, changes={"static_mask__npy": mask})


def test_the_real_features_are_joined_to_their_labels(shared_data, tmp_path):
    directory = shared_data / "first_impressions"
    summary = prepare_feature_set(
        annotations_paths=[directory / "annotation_training.pkl"],
        static_features=directory / "static.npy",
        dynamic_features=directory / "dynamic.npy",
        clips=directory / "clips.csv",
        features_dir=tmp_path / "prepared",
    )
    assert (summary.num_clips, summary.num_groups) == (6000, 2624)
    prepared = load_feature_set(tmp_path / "prepared")
    np.testing.assert_allclose(
        prepared.checked_labels(), np.load(directory / "labels.npy"), atol=1e-6
    )
