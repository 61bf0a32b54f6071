from pathlib import Path

import pytest

from pipeline.core.errors import AnnotationError, FeatureSetError
from pipeline.data.csv_table import read_csv_table


@pytest.fixture
def read(tmp_path: Path):
    def read(content: str | bytes, columns: tuple[str, ...] = ("a",), **options):
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_csv_table(path, columns=columns, error=FeatureSetError, **options)

    return read


def test_cells_stay_text(read):
    table = read("a,b\n001,NA\n1e3,\n")
    assert table.to_dict("list") == {"a": ["001", "1e3"], "b": ["NA", ""]}


def test_a_byte_order_mark_and_windows_lines_are_read(read):
    assert read(b"\xef\xbb\xbfa,b\r\nx,y\r\n").to_dict("list") == {"a": ["x"], "b": ["y"]}


def test_blank_lines_are_skipped(read):
    assert read("a,b\nx,y\n\n").shape == (1, 2)


def test_quoted_commas_and_line_breaks_are_read(read):
    assert read('a,b\n"x,1","y\nz"\n').to_dict("list") == {"a": ["x,1"], "b": ["y\nz"]}


@pytest.mark.parametrize(("line", "count"), [("x", 1), ("x,y,z", 3)])
def test_a_row_of_another_length_is_refused(read, line, count):
    with pytest.raises(FeatureSetError, match=f"row 1 has {count} fields, expected 2"):
        read(f"a,b\nu,v\n{line}\n")


def test_a_missing_column_is_refused_with_those_found(read):
    with pytest.raises(FeatureSetError, match="no column a; found b, c"):
        read("b,c\nx,y\n")


@pytest.mark.parametrize("header", ["Group,b", "GROUP,b", "gruop,b"])
def test_a_missing_column_is_refused_with_the_nearest_name(read, header):
    name = header.partition(",")[0]
    with pytest.raises(FeatureSetError, match=f"Did you mean '{name}'"):
        read(f"{header}\nx,y\n", columns=("group",))


def test_blanks_around_a_column_name_do_not_count(read):
    assert list(read("\u00a0a, group \nx,y\n", columns=("a", "group"))) == ["a", "group"]


@pytest.mark.parametrize(
    ("separator", "words"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_another_separator_is_named_even_with_decimal_commas(read, separator, words):
    content = "a,b\nx,0,5\n".replace(",", separator, 1).replace("x,", f"x{separator}")
    with pytest.raises(FeatureSetError, match=f"is separated by {words}, expected commas"):
        read(content)


def test_ids_groups_and_splits_are_normalised_and_other_cells_are_not(read):
    table = read(
        "clip_id,group,split,note\nZoe\u0301 ,p\u200b3\u00a0,train ,x \n", columns=("clip_id",)
    )
    assert table.iloc[0].tolist() == ["Zo\u00e9", "p3", "train", "x "]


def test_other_names_of_a_column_are_understood(read):
    table = read("VideoName,b\nx,y\n", columns=("clip_id",), other_names={"VideoName": "clip_id"})
    assert list(table) == ["clip_id", "b"]


def test_a_column_twice_is_refused(read):
    with pytest.raises(FeatureSetError, match="column 'b' twice"):
        read("a,b,b\n1,2,3\n")


def test_an_empty_file_is_refused(read):
    with pytest.raises(FeatureSetError, match="is empty"):
        read("")


def test_text_that_is_not_utf8_is_refused(read):
    with pytest.raises(FeatureSetError, match="is not UTF-8"):
        read("a\nJos\u00e9\n".encode("latin1"))


def test_an_unclosed_quote_is_refused(read):
    with pytest.raises(FeatureSetError, match="cannot be read as CSV"):
        read('a,b\n"x,y\n')


def test_a_missing_file_raises_the_error_asked_for(tmp_path):
    with pytest.raises(AnnotationError, match="there is no such file"):
        read_csv_table(tmp_path / "none.csv", columns=("a",), error=AnnotationError)
