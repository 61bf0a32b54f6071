"""Clips of two files that are matched by name."""

import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.clip_names import clip_stem, match_clips, unmatched_table

ORIGINS = ("features", "labels")


def match(wanted, known):
    return match_clips(wanted, known, origins=ORIGINS)


@pytest.mark.parametrize("wanted", ["v.001", "v.001.mp4", "v.001.AVI", "x/v.001.csv", "v.001.wav"])
@pytest.mark.parametrize("known", ["v.001", "v.001.mkv", "y\\v.001.mp4", " v.001.npy "])
def test_folders_and_suffixes_are_ignored(wanted, known):
    assert match([wanted], ["other", known]).rows.tolist() == [1]


def test_a_name_that_is_not_unique_needs_its_folder():
    found = match(["anna/1", "ben/1", "2"], ["ben/1.mp4", "anna/1.mp4", "carl/2"])
    assert found.rows.tolist() == [1, 0, 2]
    assert match(["1"], ["anna/1", "ben/1"]).rows.tolist() == [-1]
    assert match(["a/1", "b/1"], ["1"]).rows.tolist() == [-1, -1]


def test_a_clip_is_matched_only_once():
    found = match(["a/1", "1"], ["1"])
    assert found.rows.tolist() == [-1, 0]


def test_clips_of_only_one_file_are_listed_with_the_nearest_name():
    found = match(["anna_01", "x"], ["anna_1", "y9"])
    assert (found.missing, found.unused) == (("anna_01", "x"), ("anna_1", "y9"))
    assert found.nearest == "'anna_01'; the most similar name is 'anna_1'"
    assert unmatched_table(found, origins=ORIGINS).to_numpy().tolist() == [
        ["anna_01", "features", "anna_1"],
        ["x", "features", ""],
        ["anna_1", "labels", "anna_01"],
        ["y9", "labels", ""],
    ]


@pytest.mark.parametrize(
    ("clips", "named"), [(["a", "a.mp4"], "features"), (["b", "b "], "features")]
)
def test_two_ids_of_one_clip_are_an_error(clips, named):
    with pytest.raises(FeatureSetError, match=f"{named}: contains both"):
        match(clips, ["c"])


def test_a_suffix_of_a_video_is_removed_and_others_stay():
    assert [clip_stem(clip) for clip in ("v.001.MP4", "v.001", "v.wav", ".mp4")] == [
        "v.001",
        "v.001",
        "v.wav",
        ".mp4",
    ]
