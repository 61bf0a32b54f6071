from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.readers.table_file import find_id_column, open_table, read_text_table

ROWS = [["001", "0.5", "a b"], ["NA", "-2.25", "c"]]


@pytest.fixture
def write(tmp_path: Path):
    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("id,x,t\n001,0.5,a b\nNA,-2.25,c\n", "commas.csv"),
        (" id , x, t\n001, 0.5, a b\n\nNA,-2.25, c", "blanks.csv"),
        ("\n\ufeffid;x;t\n001;0,5;a b\nNA;-2,25;c\n".lstrip("\n"), "semicolons.csv"),
        ('"id"\t"x"\t"t"\r\n"001"\t"0.5"\t"a b"\r\nNA\t-2.25\tc\r\n', "tabs.tsv"),
        ("id\tx\tt\n001\t0,5\ta b\nNA\t-2,25\tc\n", "tabs.txt"),
        ('id   x t\n001 0.5  "a b" \nNA -2.25 c\n', "columns.txt"),
        ("id|x|t\n001|0.5|a b\nNA|-2.25|c\n", "bars.csv"),
        ("id\tx\tt\n001\t0.5\ta b\nNA\t-2.25\tc\n".encode("utf-16"), "excel.txt"),
        ('{"id": "001", "x": 0.5, "t": "a b"}\n\n{"id": "NA", "x": -2.25, "t": "c"}\n', "t.jsonl"),
    ],
    ids=lambda value: value if len(value) < 15 else "",
)
def test_the_layout_of_a_table_is_detected(write, content, name):
    path = write(content, name)
    texts = read_text_table(path)
    assert list(texts) == ["id", "x", "t"]
    if "0,5" in texts["x"].iloc[0]:
        texts["x"] = texts["x"].str.replace(",", ".")
    assert texts.to_numpy().tolist() == ROWS
    table = open_table(path)
    assert table.text_columns == {"t"}
    cells = table.read({"x": "float32", "t": "text"})
    assert list(cells) == ["x", "t"]
    assert cells["x"].dtype == np.float32
    assert cells["x"].tolist() == [0.5, -2.25]
    assert cells["t"].tolist() == ["a b", "c"]


def test_a_parquet_table_is_read_by_column(tmp_path):
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame(
        {" id": ["001", None], "n": [1, 2], "x": [0.5, np.nan], "b": [True, False]}
    )
    frame.to_parquet(path)
    table = open_table(path)
    assert table.columns == ("id", "n", "x", "b")
    assert table.text_columns == {"id"}
    cells = table.read({"x": "float32", "b": "float32", "n": "float64", "id": "text"})
    np.testing.assert_array_equal(cells["x"], np.float32([0.5, np.nan]))
    assert cells["b"].tolist() == [1, 0]
    assert cells["n"].tolist() == [1, 2]
    assert cells["id"].tolist() == ["001", ""]
    assert read_text_table(path).to_numpy().tolist() == [
        ["001", "1", "0.5", "True"],
        ["", "2", "", "False"],
    ]


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        ("1.5 2.5\n3 4\n", ("0", "1"), [[1.5, 2.5], [3, 4]]),  # numpy.savetxt
        ("1.5,2.5\n3,4\n", ("0", "1"), [[1.5, 2.5], [3, 4]]),
        ("0,1\n1.5,2.5\n3,4\n", ("0", "1"), [[1.5, 2.5], [3, 4]]),  # pandas, unnamed columns
        ("a\n1\n2\n", ("a",), [[1], [2]]),
        ("a,b\n,nan\n-nan(ind),2\n", ("a", "b"), [[np.nan, np.nan], [np.nan, 2]]),
        ("a;b\n1,5;2\n;1e-1\n", ("a", "b"), [[1.5, 2], [np.nan, 0.1]]),
    ],
    ids=range(6),
)
def test_numbers_are_read_with_and_without_a_header(write, content, columns, rows):
    table = open_table(write(content))
    assert table.columns == columns
    cells = table.read(dict.fromkeys(columns, "float64"))
    np.testing.assert_array_equal(np.stack([*cells.values()], axis=1), rows)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("a,b\n1,2\n3,x\n", "t.csv", r"line 3 has b 'x', expected a number.*--columns NAME="),
        ("a b\n1 2\n3 x\n", "t.txt", r"line 3 has b 'x', expected a number"),
        ("a;b\n1,5;2\n3;2.5\n", "t.csv", r"line 3 has b '2\.5', expected a number"),
        ("a,b\n1,2\n3\n", "t.csv", r"cannot be read as a table \(.*line 3: Expected 2 columns"),
        ("a b\n1 2\n3\n", "t.txt", "line 3 has 1 fields, expected 2"),
        ("a,a\n1,2\n", "t.csv", "has the column 'a' twice"),
        ("", "t.csv", "is empty"),
        ("\n \n", "t.csv", "is empty"),
        ("", "t.jsonl", "is empty"),
        ('{"a": 1}\n[1]\n', "t.jsonl", "line 2 is not a JSON object"),
        ('{"a": 1}\n{"a": "x"}\n', "t.jsonl", "line 2 has a 'x', expected a number"),
        (b"a,b\n\xff,1\n", "t.csv", "is not UTF-8 text"),
        (b"PAR1", "t.parquet", "cannot be read"),
        ("a", "t.pdf", r"is not a table \(\.csv, "),
    ],
    ids=range(14),
)
def test_a_bad_table_is_an_error(write, content, name, message):
    path = write(content, name)
    with pytest.raises(FeatureSetError, match=message) as caught:
        open_table(path).read(
            {"a": "float32", "b": "float32"} if "b" in str(content) else {"a": "float32"}
        )
    assert str(path) in str(caught.value)


def test_a_missing_file_is_an_error_with_the_nearest_name(write):
    path = write("a\n1\n", "features.csv")
    with pytest.raises(FeatureSetError, match=r"no such file.*Did you mean .*features\.csv"):
        open_table(path.with_name("feature.csv"))


def test_excel_needs_the_extra(write, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FeatureSetError, match=r"openpyxl: pip install -e '\.\[excel\]'"):
        open_table(write(b"PK", "t.xlsx"))


def test_an_excel_table_is_read_as_text_and_numbers(tmp_path):
    pytest.importorskip("openpyxl", reason="the extra `excel` is not installed")
    path = tmp_path / "t.xlsx"
    pd.DataFrame(ROWS, columns=["id", "x", "t"]).to_excel(path, index=False)
    assert read_text_table(path).to_numpy().tolist() == ROWS
    assert open_table(path).read({"x": "float32"})["x"].tolist() == [0.5, -2.25]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (("Extr", "vlogId"), "vlogId"),
        (("name", "NAME_VIDEO"), "NAME_VIDEO"),
        (("Video Name", "x"), "Video Name"),
        (("x", "y"), None),
    ],
)
def test_the_id_column_is_found_by_its_name(columns, expected):
    assert find_id_column(columns) == expected


def test_a_text_table_with_a_column_twice_is_an_error(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("clip_id,group,group\na,p,q\n")
    with pytest.raises(FeatureSetError, match="has the column 'group' twice"):
        read_text_table(path)
