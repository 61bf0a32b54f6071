from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import AnnotationError, FeatureSetError
from pipeline.data.clip_table import check_unique_clips, read_clips, read_csv_table


@pytest.fixture
def read_csv(tmp_path: Path):
    def read(content: str | bytes, columns: tuple[str, ...] = ("a",), **options):
        path = tmp_path / "clips.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_csv_table(path, columns=columns, error=FeatureSetError, **options)

    return read


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n001,NA\n1e3,\n", {"a": ["001", "1e3"], "b": ["NA", ""]}),
        (b"\xef\xbb\xbfa,b\r\nx,y\r\n", {"a": ["x"], "b": ["y"]}),
        ("a,b\nx,y\n\n", {"a": ["x"], "b": ["y"]}),
        ('a,b\n"x,1","y\nz"\n', {"a": ["x,1"], "b": ["y\nz"]}),
        ("\u00a0a, b \nx,y\n", {"a": ["x"], "b": ["y"]}),
    ],
    ids=["text", "byte order mark", "blank line", "quotes", "blanks in the header"],
)
def test_cells_are_text(read_csv, content, expected):
    assert read_csv(content).to_dict("list") == expected


def test_ids_groups_and_splits_are_normalized_and_other_cells_are_not(read_csv):
    table = read_csv("clip_id,group,split,a\nZoe\u0301 ,p\u200b3\u00a0,train ,x \n")
    assert table.iloc[0].tolist() == ["Zo\u00e9", "p3", "train", "x "]


def test_known_other_names_of_columns_are_accepted(read_csv):
    table = read_csv("Video,b\nx,y\n", columns=("clip_id",), other_names={"Video": "clip_id"})
    assert list(table) == ["clip_id", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b\nu,v\nx\n", "row 1 has 1 fields, but the header has 2"),
        ("a,b\nu,v\nx,y,z\n", "row 1 has 3 fields, but the header has 2"),
        ("b,c\nx,y\n", "no column a; found b, c"),
        ("A,b\nx,y\n", "Did you mean 'A'"),
        ("a,b,b\n1,2,3\n", "column 'b' twice"),
        ("a;b\nx;0,5\n", "is separated by semicolons, but must be separated by commas"),
        ("a\tb\nx\t0,5\n", "is separated by tabs, but"),
        ("a|b\nx|0,5\n", "is separated by vertical bars, but"),
        ("a\nJos\u00e9\n".encode("latin1"), "is not UTF-8"),
        ('a,b\n"x,y\n', "cannot be read as CSV"),
    ],
)
def test_a_bad_csv_file_is_an_error(read_csv, content, message):
    with pytest.raises(FeatureSetError, match=message):
        read_csv(content)


def test_a_missing_file_raises_the_given_error_class(tmp_path):
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_csv_table(tmp_path / "none.csv", columns=("a",), error=AnnotationError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,group\na,b\n", "no column clip_id;"),
        ("clip_id,g\na,b\n", "no column group;"),
        ("clip_id,group\n", "has no clips"),
        ("clip_id,group\na,g\n  ,g\n", "row 1 has a blank clip_id"),
        ("clip_id,group\na,g\nb,\n", "row 1 has a blank group"),
        ("clip_id,group\na,g\nb,g\nb,g\n", r"'b' occurs twice, in row 1 of .*csv and row 2 of .*"),
        ("clip_id,group,split\na,g,train\nb,g,dev\n", r"row 1 \(clip b\) has split 'dev'"),
        ("clip_id,group,split\na,g,train\nb,g,Train\n", r"row 1 \(clip b\) has split 'Train'"),
        ("clip_id,group,split\na,g,train\nb,g,\n", r"row 1 \(clip b\) has split ''"),
    ],
)
def test_a_bad_table_of_clips_is_an_error(tmp_path, content, message):
    (tmp_path / "clips.csv").write_text(content)
    with pytest.raises(FeatureSetError, match=message):
        read_clips(tmp_path / "clips.csv")


def test_an_id_in_two_tables_is_an_error_with_both_rows():
    tables = [pd.DataFrame({"clip_id": ids}) for ids in (["a", "b"], ["c"], ["d", "b"])]
    paths = [Path("one"), Path("two"), Path("three")]
    message = "'b' occurs twice, in row 1 of one and row 1 of three"
    with pytest.raises(FeatureSetError, match=message):
        check_unique_clips(tables, paths)
