import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import AnnotationError
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.data.readers.annotations import group_of, read_annotations

HEADER = "clip_id,neuroticism,openness,conscientiousness,extraversion,agreeableness,interview\n"


def scores(**changes) -> dict:
    """Scores of two clips for five traits and `interview`, with changes by trait."""
    values = {
        trait: {"-a.001.mp4": number / 10, "b.000.mp4": np.float64(number / 10 + 0.05)}
        for number, trait in enumerate((*TRAITS, "interview"))
    }
    return {**values, **changes}


@pytest.fixture
def write(tmp_path: Path):
    def write(content, name: str = "annotation.pkl") -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(pickle.dumps(content, protocol=2))
        return path

    return write


def test_a_pickle_gives_a_table_in_ocean_order(write):
    table = read_annotations([write(scores())]).scores
    assert table.index.tolist() == ["-a.001.mp4", "b.000.mp4"]
    assert table.index.name == "clip_id"
    assert tuple(table.columns) == TRAITS
    assert set(table.dtypes) == {np.dtype(np.float64)}
    np.testing.assert_allclose(table.loc["-a.001.mp4"], [0.0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(table.loc["b.000.mp4"], [0.05, 0.15, 0.25, 0.35, 0.45])


def test_scores_are_joined_by_clip_whatever_the_order_of_a_trait(write):
    reordered = dict(reversed(scores()["neuroticism"].items()))
    table = read_annotations([write(scores(neuroticism=reordered))]).scores
    assert table.loc["-a.001.mp4", "neuroticism"] == 0.4


def test_a_csv_is_read_by_the_names_of_its_columns(write):
    path = write(HEADER + "a.0,0.5,0.1,0.2,0.3,0.4,0.9\n", "annotation.csv")
    assert read_annotations([path]).scores.loc["a.0"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]


V1_HEADER = (
    "VideoName,ValueExtraversion,ValueAgreeableness,ValueConscientiousness,ValueNeurotisicm,"
    "ValueOpenness\n"
)


def test_the_table_of_the_first_version_of_first_impressions_is_read(write):
    path = write(V1_HEADER + "a.000.mp4 ,0.3,0.4,0.2,0.5,0.1\n", "training_gt.csv")
    annotations = read_annotations([path])
    assert annotations.scores.loc["a.000.mp4"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert annotations.traits == FIRST_IMPRESSIONS


def test_neuroticism_of_first_impressions_is_scored_in_reverse(write):
    traits = read_annotations([write(scores())]).traits
    assert tuple(trait.name for trait in traits) == TRAITS
    assert [trait.name for trait in traits if trait.is_reversed] == ["neuroticism"]
    assert "emotionally stable" in traits[-1].direction


def test_the_real_neuroticism_rises_with_extraversion(shared_data):
    path = shared_data / "first_impressions" / "annotation_training.pkl"
    table = read_annotations([path]).scores
    assert table["neuroticism"].corr(table["extraversion"]) == pytest.approx(0.80, abs=0.01)


def test_nothing_is_said_of_the_direction_in_other_tables(write):
    path = write(HEADER + "a.0,0.5,0.1,0.2,0.3,0.4,0.9\n", "annotation.csv")
    assert read_annotations([path]).traits == ()


@pytest.mark.parametrize(
    "name",
    [
        "emotional_stability",
        "Emotional Stability",
        "emotionally_stable",
        "stability",
        "non-neuroticism",
    ],
)
def test_emotional_stability_is_not_taken_for_neuroticism_nor_reversed(write, name):
    table = write(
        HEADER.replace("neuroticism", name) + "a.0,0.5,0.1,0.2,0.3,0.4,0.9\n", "table.csv"
    )
    by_trait = scores()
    by_trait[name] = by_trait.pop("neuroticism")
    for path in (table, write(by_trait)):
        with pytest.raises(AnnotationError, match="opposite ends of one trait") as refused:
            read_annotations([path])
        assert "leave the scores as they are" in str(refused.value)


@pytest.mark.parametrize("odd", ["a.0\u00a0", "a.0 ", "\u200ba.0"])
def test_a_clip_under_two_names_that_look_alike_needs_one_score(write, odd):
    same = {trait: {"a.0": 0.5, odd: 0.5} for trait in TRAITS}
    assert read_annotations([write(same)]).scores.index.tolist() == ["a.0"]
    other = {**same, "openness": {"a.0": 0.5, odd: 0.6}}
    with pytest.raises(AnnotationError, match=r"openness holds clip 'a\.0' twice"):
        read_annotations([write(other)])


def test_a_missing_trait_is_named_with_the_nearest_column(write):
    path = write(HEADER.replace("openness", "Openness"), "annotation.csv")
    with pytest.raises(AnnotationError, match="Did you mean 'Openness'"):
        read_annotations([path])


def test_a_missing_trait_is_named(write):
    content = {trait: value for trait, value in scores().items() if trait != "openness"}
    with pytest.raises(
        AnnotationError, match="no scores for openness; found 'conscientiousness', "
    ):
        read_annotations([write(content)])


@pytest.mark.parametrize("trait", [TRAITS[0], TRAITS[3]])
def test_a_clip_that_a_trait_lacks_is_named(write, trait):
    content = scores()
    del content[trait]["b.000.mp4"]
    with pytest.raises(AnnotationError, match=r"clip 'b\.000\.mp4' has a score for only one of"):
        read_annotations([write(content)])


@pytest.mark.parametrize("score", [-0.1, 1.1, 65, float("nan"), float("inf")])
def test_a_score_out_of_range_is_refused_with_its_clip(write, score):
    content = scores(extraversion={"-a.001.mp4": 0.5, "b.000.mp4": score})
    with pytest.raises(
        AnnotationError, match=r"clip 'b\.000\.mp4' has extraversion .* in \[0, 1\]"
    ):
        read_annotations([write(content)])


@pytest.mark.parametrize(
    "entry", [{"a": "0.5"}, {"a": None}, {"a": True}, {1: 0.5}, {" ": 0.5}, {"a": [0.5]}]
)
def test_an_entry_that_is_no_scored_clip_is_refused(write, entry):
    with pytest.raises(AnnotationError, match=r"extraversion holds .*expected the name of a clip"):
        read_annotations([write(scores(extraversion=entry))])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([0.5], r"holds a list, expected \{trait: \{clip: score\}\}"),
        ({}, "found no trait"),
        (scores(openness=0.5), r"openness holds a float, expected \{clip: score\}"),
        ({trait: {} for trait in TRAITS}, "annotates no clip"),
    ],
)
def test_another_structure_is_refused(write, content, message):
    with pytest.raises(AnnotationError, match=message):
        read_annotations([write(content)])


@given(content=st.binary(max_size=60))
def test_garbage_is_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "garbage.pkl"
    path.write_bytes(content + b".")
    with pytest.raises(AnnotationError):
        read_annotations([path])


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_whatever_a_damaged_byte_does_ends_in_a_refusal(tmp_path_factory, position, byte):
    content = bytearray(pickle.dumps({"openness": {"a": np.float64(0.5)}}, protocol=2))
    content[position % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(content)
    with pytest.raises(AnnotationError):
        read_annotations([path])


@pytest.mark.parametrize("cell", ["", "high"])
def test_a_cell_that_is_no_number_is_refused_with_its_row(write, cell):
    path = write(HEADER + f"a.0,0.5,0.1,0.2,{cell},0.4,0.9\n", "annotation.csv")
    with pytest.raises(AnnotationError, match=f"row 0 has extraversion '{cell}'"):
        read_annotations([path])


def test_a_clip_twice_in_a_csv_is_refused_with_both_rows(write):
    row = "a.0,0.5,0.1,0.2,0.3,0.4,0.9\n"
    path = write(HEADER + row + row.replace("a.0", "b.0") + row, "annotation.csv")
    with pytest.raises(AnnotationError, match=r"'a\.0' occurs twice, in rows 0 and 2"):
        read_annotations([path])


def test_files_are_put_together(write):
    csv_path = write(HEADER + "c.0,0.5,0.1,0.2,0.3,0.4,0.9\n", "annotation.csv")
    assert read_annotations([write(scores()), csv_path]).scores.index.tolist() == [
        "-a.001.mp4",
        "b.000.mp4",
        "c.0",
    ]


def test_a_clip_with_the_same_scores_in_two_files_is_kept_once(write):
    table = read_annotations([write(scores()), write(scores(), "again.pkl")]).scores
    assert table.index.tolist() == ["-a.001.mp4", "b.000.mp4"]


def test_files_that_contradict_each_other_are_refused(write):
    other = scores(openness={"-a.001.mp4": 0.0, "b.000.mp4": 0.9})
    message = r"other\.pkl: clip 'b\.000\.mp4' has other scores than in .*annotation\.pkl"
    with pytest.raises(AnnotationError, match=message):
        read_annotations([write(scores()), write(other, "other.pkl")])


def test_no_file_is_refused():
    with pytest.raises(AnnotationError, match="No annotation file"):
        read_annotations([])


@pytest.mark.parametrize(
    ("clip", "group"), [("-AmMDnVl4s8.003.mp4", "-AmMDnVl4s8"), ("a.b.c", "a"), ("alone", "alone")]
)
def test_the_group_is_the_part_before_the_first_dot(clip, group):
    assert group_of(clip) == group


def test_the_real_file_holds_the_labels_of_the_real_features(shared_data):
    directory = shared_data / "first_impressions"
    table = read_annotations([directory / "annotation_training.pkl"]).scores
    clips = pd.read_csv(directory / "clips.csv")
    assert len(table) == 6000
    np.testing.assert_allclose(
        table.loc[clips["clip_id"]], np.load(directory / "labels.npy"), atol=1e-6
    )
    assert clips["group"].tolist() == [group_of(clip) for clip in clips["clip_id"]]
