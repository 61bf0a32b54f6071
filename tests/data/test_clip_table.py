from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.clip_table import number_clips, read_clips, refuse_duplicates


@pytest.fixture
def read(tmp_path: Path):
    def read(content: str, **options):
        path = tmp_path / "clips.csv"
        path.write_text(content, encoding="utf-8")
        return read_clips(path, **options)

    return read


def test_further_columns_are_kept_as_text(read):
    clips = read("clip_id,group,age\n-a.001.mp4,-a,031\n")
    assert clips.to_dict("list") == {"clip_id": ["-a.001.mp4"], "group": ["-a"], "age": ["031"]}


@pytest.mark.parametrize(("header", "missing"), [("id,group", "clip_id"), ("clip_id,g", "group")])
def test_a_table_without_ids_or_groups_is_refused(read, header, missing):
    with pytest.raises(FeatureSetError, match=f"no column {missing};"):
        read(f"{header}\na,b\n")


def test_a_table_without_groups_is_read_where_they_are_not_needed(read):
    assert list(read("clip_id\na\n", needs_group=False)) == ["clip_id"]


def test_a_table_without_rows_is_refused(read):
    with pytest.raises(FeatureSetError, match="holds no clips"):
        read("clip_id,group\n")


@pytest.mark.parametrize(("row", "column"), [("  ,g", "clip_id"), ("b,", "group")])
def test_a_blank_cell_is_refused_with_its_row(read, row, column):
    with pytest.raises(FeatureSetError, match=f"row 1 has a blank {column}"):
        read(f"clip_id,group\na,g\n{row}\n")


def test_an_id_twice_is_refused_with_both_rows(read):
    message = r"clip 'b' occurs twice, in row 1 of .*clips\.csv and row 3 of .*clips\.csv"
    with pytest.raises(FeatureSetError, match=message):
        read("clip_id,group\na,g\nb,g\nc,g\nb,g\n")


def test_an_id_in_two_tables_is_refused_with_the_row_in_each():
    tables = [pd.DataFrame({"clip_id": ids}) for ids in (["a", "b"], ["c"], ["d", "b"])]
    paths = [Path("one"), Path("two"), Path("three")]
    with pytest.raises(
        FeatureSetError, match="'b' occurs twice, in row 1 of one and row 1 of three"
    ):
        refuse_duplicates(tables, paths)


@pytest.mark.parametrize("split", ["dev", "Train", ""])
def test_an_unknown_split_is_refused_with_its_clip(read, split):
    with pytest.raises(FeatureSetError, match=rf"row 1 \(clip b\) has split '{split}'"):
        read(f"clip_id,group,split\na,g,train\nb,g,{split}\n")


def test_numbered_clips_are_each_their_own_group():
    clips = number_clips(2)
    assert clips.to_dict("list") == {
        "clip_id": ["row-000000", "row-000001"],
        "group": ["row-000000", "row-000001"],
    }
