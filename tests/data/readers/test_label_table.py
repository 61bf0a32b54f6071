"""Labels from the tables of annotation studies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import AnnotationError, ConfigError
from pipeline.core.traits import TRAITS
from pipeline.data.readers.label_table import LabelOptions, find_labels, split_of_file

PATH = Path("labels.csv")
NEAR_ONE = "0.1,0.2,0.3,0.4,0.5"


def table_of(header: str, *rows: str) -> pd.DataFrame:
    return pd.DataFrame([row.split(",") for row in rows], columns=header.split(","), dtype=str)


def find(header: str, *rows: str, **options: str):
    return find_labels(PATH, table_of(header, *rows), LabelOptions.parse(**options))


@pytest.mark.parametrize(
    "header",
    [
        f"clip_id,{','.join(TRAITS)}",
        "id,O,C,E,A,N",
        "Filename,Openness,Conscientiousness,Extroversion,Agreeableness,Neuroticism",
        "vlogId,Open,Cons,Extr,Agr,Neur",
        "VideoName,ValueOpenness,ValueConscientiousness,ValueExtraversion,Agr,ValueNeurotisicm",
        "NAME_VIDEO,openness,conscientiousness,extraversion,agreeableness,non-neuroticism",
        "video,OPEN,CONS,EXTR,AGR,Emot",
        "clip id,openness,conscientiousness,extraversion,agreeableness,emotional_stability",
    ],
)
def test_id_and_trait_columns_are_found_by_name(header):
    labels = find(header, f"a,{NEAR_ONE}", "b,1,1,1,1,0")
    assert list(labels.scores.index) == ["a", "b"]
    np.testing.assert_array_equal(
        labels.scores[list(TRAITS)].to_numpy(), [[0.1, 0.2, 0.3, 0.4, 0.5], [1, 1, 1, 1, 0]]
    )


def test_the_order_of_the_columns_does_not_matter():
    labels = find("E,N,id,A,C,O", "0.3,0.5,a,0.4,0.2,0.1")
    assert labels.scores.loc["a"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("column", ["Emot", "emotional_stability", "non-neuroticism", "ES"])
def test_emotional_stability_is_recorded_and_can_be_reversed(column):
    header = f"id,Open,Cons,Extr,Agr,{column}"
    stable = find(header, "a,0,0,0,0,0.8")
    assert stable.traits[-1].is_reversed
    assert column in stable.traits[-1].note
    assert stable.scores["neuroticism"].tolist() == [0.8]
    reversed_again = find(header, "a,0,0,0,0,0.8", reverse="neuroticism")
    assert not reversed_again.traits[-1].is_reversed
    np.testing.assert_allclose(reversed_again.scores["neuroticism"], [0.2])


def test_a_reversed_trait_has_a_note():
    labels = find("id,O,C,E,A,N", f"a,{NEAR_ONE}", reverse="openness")
    np.testing.assert_allclose(labels.scores["openness"], [0.9])
    assert [trait.is_reversed for trait in labels.traits] == [True, False, False, False, False]
    assert "low openness" in labels.traits[0].note


def test_a_range_scales_the_scores_and_is_recorded():
    labels = find("id,O,C,E,A,N", "a,1,4,7,2.5,5.5", label_range="1,7")
    np.testing.assert_allclose(labels.scores.loc["a"], [0, 0.5, 1, 0.25, 0.75])
    assert {trait.label_range for trait in labels.traits} == {(1.0, 7.0)}


@pytest.mark.parametrize(
    ("row", "flag"),
    [
        ("5,4,3,2,1", "--label_range 1,5"),
        ("6.5,4,3,2,1", "--label_range 1,7"),
        ("6.5,4,3,2,0", "--label_range 0,10"),
        ("99,4,3,2,0", "--label_range 0,100"),
        ("-3,0,3,1,2", "--label_range LOW,HIGH"),
    ],
)
def test_scores_outside_the_range_are_an_error_with_the_flag(row, flag):
    with pytest.raises(AnnotationError, match=flag):
        find("id,O,C,E,A,N", f"a,{row}")


def test_a_decimal_comma_is_read():
    table = table_of("id;O;C;E;A;N".replace(";", ","), "a,0,0,0,0,0")
    table["O"] = "0,25"
    labels = find_labels(PATH, table, LabelOptions())
    assert labels.scores["openness"].tolist() == [0.25]


def test_columns_can_be_named():
    labels = find(
        "clip,id,x,C,E,A,N", f"a,7,{NEAR_ONE}", id_column="ID", trait_columns="openness=x"
    )
    assert list(labels.scores.index) == ["7"]
    assert labels.scores["openness"].tolist() == [0.1]


@pytest.mark.parametrize(
    ("header", "row", "options", "named"),
    [
        ("x,O,C,E,A,N", f"a,{NEAR_ONE}", {}, "--id_column"),
        ("id,O,C,E,A,N", f"a,{NEAR_ONE}", {"id_column": "idd"}, "Did you mean 'id'"),
        ("id,O,C,E,A,x", f"a,{NEAR_ONE}", {}, "--trait_columns"),
        ("id,O,C,E,A,N", f"a,{NEAR_ONE}", {"trait_columns": "openness=Opn"}, "Opn"),
        ("id,O,C,E,A,N", "a,0,?,0,0,0", {}, r"row 0 \(clip 'a'\) has C '\?'"),
        ("id,O,C,E,A,N", "a,0,,0,0,0", {}, "row 0"),
        ("id,O,C,E,A,N", f",{NEAR_ONE}", {}, "blank id"),
        ("id,O,C,E,A,N", "a,0,8,0,0,0", {"label_range": "0,7"}, "C 8, which is outside"),
    ],
)
def test_a_wrong_table_is_an_error(header, row, options, named):
    with pytest.raises(AnnotationError, match=named):
        find(header, row, **options)


def test_a_repeated_clip_is_an_error():
    with pytest.raises(AnnotationError, match="rows 0 and 1"):
        find("id,O,C,E,A,N", f"a,{NEAR_ONE}", f"a ,{NEAR_ONE}")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"label_range": "7,1"}, "LOW,HIGH"),
        ({"label_range": "1-7"}, "LOW,HIGH"),
        ({"label_range": "1,inf"}, "LOW,HIGH"),
        ({"trait_columns": "openness"}, "TRAIT=COLUMN"),
        ({"trait_columns": "opennes=O"}, "Did you mean 'openness'"),
        ({"reverse": "neurotic"}, "Did you mean 'neuroticism'"),
    ],
)
def test_a_wrong_option_is_an_error(options, named):
    with pytest.raises(ConfigError, match=named):
        LabelOptions.parse(**options)


def test_group_and_split_columns_are_kept():
    labels = find(
        "id,O,C,E,A,N,Group,Subset",
        *(
            f"{clip},{NEAR_ONE},{group},{subset}"
            for clip, group, subset in (
                ("a", "p1", "Train"),
                ("b", "p2 ", "val"),
                ("c", "p2", "TEST"),
            )
        ),
    )
    assert labels.groups.tolist() == ["p1", "p2", "p2"]
    assert labels.splits.tolist() == ["train", "validation", "test"]


@pytest.mark.parametrize("wrong", ["trian", "", "fold1"])
def test_an_unknown_name_in_a_column_of_subsets_is_an_error(wrong):
    rows = (f"a,{NEAR_ONE},train", f"b,{NEAR_ONE},{wrong}", f"c,{NEAR_ONE},Test")
    with pytest.raises(AnnotationError) as error:
        find("id,O,C,E,A,N,subset", *rows)
    for part in ("row 1 (clip 'b')", f"subset {wrong!r}", "train, ", "validation, ", "test, "):
        assert part in str(error.value)


def test_a_subset_column_with_other_values_is_not_a_split():
    assert find("id,O,C,E,A,N,subset", f"a,{NEAR_ONE},fold1").splits is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("annotation_training.pkl", "train"),
        ("annotation_validation.pkl", "validation"),
        ("annotation-test.csv", "test"),
        ("labels.csv", ""),
        ("contest.csv", ""),
    ],
)
def test_the_subset_in_a_file_name(name, expected):
    assert split_of_file(Path(name)) == expected
