import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RunError
from pipeline.core.traits import TRAITS
from pipeline.records.predictions import Predictions, read_predictions, write_predictions


def make_predictions(num_clips=4, *, known=True):
    numbers = np.random.default_rng(0)
    return Predictions(
        clip_ids=np.array([f"clip {index}" for index in range(num_clips)]),
        groups=np.array([f"video {index // 2}" for index in range(num_clips)], dtype=object),
        y_pred=numbers.random((num_clips, 5)),
        y_true=numbers.random((num_clips, 5)) if known else None,
    )


@pytest.fixture
def table(tmp_path):
    """A function that changes one cell of a written file, and returns the path of the file."""
    path = tmp_path / "test.csv"
    write_predictions(path, make_predictions())

    def edit(row, column, text):
        rows = list(csv.reader(path.open(newline="")))
        rows[row - 1][rows[0].index(column)] = text
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)
        return path

    return edit


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_round_trip_gives_the_same_numbers(tmp_path, known, dtype):
    written = make_predictions(known=known)
    written = Predictions(
        clip_ids=written.clip_ids,
        groups=written.groups,
        y_pred=written.y_pred.astype(dtype),
        y_true=written.y_true,
    )
    write_predictions(tmp_path / "test.csv", written)
    found = read_predictions(tmp_path / "test.csv")
    assert found.clip_ids == written.clip_ids
    assert found.groups == written.groups
    np.testing.assert_array_equal(found.y_pred, written.y_pred)
    np.testing.assert_array_equal(found.y_true, written.y_true)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float_reads_back_as_itself(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("floats") / "one.csv"
    write_predictions(
        path, Predictions(clip_ids=["a"], groups=["g"], y_pred=np.full((1, 5), value))
    )
    assert read_predictions(path).y_pred[0, 0] == value


@pytest.mark.parametrize("name", ["007", "-a,b", 'say "x"', "NA", "né", "1e3"])
def test_names_stay_text(tmp_path, name):
    path = tmp_path / "names.csv"
    write_predictions(path, Predictions(clip_ids=[name], groups=[name], y_pred=np.zeros((1, 5))))
    found = read_predictions(path)
    assert (found.clip_ids, found.groups) == ((name,), (name,))


def test_columns_are_clip_id_traits_and_group(tmp_path):
    for known, truth in ((True, [f"true_{trait}" for trait in TRAITS]), (False, [])):
        write_predictions(tmp_path / "test.csv", make_predictions(known=known))
        header = (tmp_path / "test.csv").read_text().splitlines()[0].split(",")
        assert header == ["clip_id", *TRAITS, *truth, "group"]


@pytest.mark.parametrize(
    "fields",
    [
        {"groups": ["g"]},
        {"y_pred": np.zeros((3, 5))},
        {"y_pred": np.zeros((2, 4))},
        {"y_true": np.zeros((3, 5))},
        {"y_true": np.zeros(2)},
    ],
)
def test_fields_of_different_length_are_an_error(fields):
    good = {"clip_ids": ["a", "b"], "groups": ["g", "g"], "y_pred": np.zeros((2, 5))}
    with pytest.raises(ValueError, match="2 clips need as many groups and scores of shape"):
        Predictions(**{**good, **fields})


def test_further_columns_and_a_byte_order_mark_are_accepted(tmp_path):
    path = tmp_path / "test.csv"
    write_predictions(path, make_predictions(1, known=False))
    header, row = path.read_text().splitlines()
    path.write_text(f"\ufeff{header},gender\r\n{row},female\r\n", encoding="utf-8")
    assert read_predictions(path).clip_ids == ("clip 0",)


@pytest.mark.parametrize(
    ("row", "column", "text", "message"),
    [
        (3, "true_extraversion", "nan", r"row 3 \(clip clip 1\) has nan in column true_extra"),
        (3, "true_extraversion", "inf", r"row 3 \(clip clip 1\) has inf in column true_extra"),
        (3, "openness", "-inf", r"row 3 \(clip clip 1\) has -inf in column openness"),
        (4, "openness", "", r"row 4 \(clip clip 2\) has '' in column openness"),
        (4, "openness", "high", "has 'high' in column openness"),
        (4, "openness", "0,5", "has '0,5' in column openness"),
        (5, "clip_id", "clip 1", "row 5 repeats clip clip 1 of row 3"),
        (2, "clip_id", "", "row 2 has no clip_id"),
        (2, "group", "", "row 2 has no group"),
        (1, "clip_id", "other", "must have the column 'clip_id' once, but has it 0 times"),
        (1, "group", "other", "must have the column 'group' once, but has it 0 times"),
        (1, "neuroticism", "other", "the column 'neuroticism' once, but has it 0 times"),
        (1, "true_openness", "other", "the column 'true_openness' once, but has it 0 times"),
    ],
)
def test_a_damaged_cell_is_an_error_with_its_place(table, row, column, text, message):
    with pytest.raises(RunError, match=rf"test\.csv: .*{message}"):
        read_predictions(table(row, column, text))


def repeat_column(lines):
    return [f"{line},{line.split(',')[1]}" for line in lines]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (repeat_column, "must have the column 'openness' once, but has it 2 times"),
        (lambda lines: [*lines, "clip 9,0.5"], r"row 6 \(clip clip 9\) does not have one value"),
        (lambda lines: [*lines, "clip 9" + ",0.5" * 11 + ",extra"], "row 6 .*does not have one"),
        (lambda lines: lines[:1], "has no clips"),
    ],
)
def test_a_damaged_table_is_an_error(tmp_path, change, message):
    path = tmp_path / "test.csv"
    write_predictions(path, make_predictions())
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(RunError, match=message):
        read_predictions(path)


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"\xff\xfe\xfa", None])
def test_a_missing_or_unreadable_file_is_an_error(tmp_path, content):
    path = tmp_path / "test.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"test\.csv"):
        read_predictions(path)


def test_a_score_that_is_not_finite_is_not_written(tmp_path):
    predictions = make_predictions()
    predictions.y_pred[1, 2] = np.nan
    with pytest.raises(RunError, match=r"row 3 \(clip clip 1\) has nan in column extraversion"):
        write_predictions(tmp_path / "test.csv", predictions)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("known", [True, False])
def test_clips_are_taken_in_the_order_of_the_rows(known):
    predictions = make_predictions(known=known)
    taken = predictions.take(np.array([3, 0]))
    assert taken.clip_ids == ("clip 3", "clip 0")
    assert taken.groups == ("video 1", "video 0")
    np.testing.assert_array_equal(taken.y_pred, predictions.y_pred[[3, 0]])
    assert (taken.y_true is not None) == known


@pytest.mark.parametrize("trait_names", [("interview",), ("honesty", "humility", "interview")])
@pytest.mark.parametrize("known", [True, False])
def test_the_columns_name_the_traits(tmp_path, trait_names, known):
    scores = np.random.default_rng(0).random((3, len(trait_names)))
    written = Predictions(
        clip_ids=list("abc"),
        groups=list("abc"),
        y_pred=scores,
        y_true=1 - scores if known else None,
        trait_names=trait_names,
    )
    write_predictions(tmp_path / "test.csv", written)
    found = read_predictions(tmp_path / "test.csv")
    assert found.trait_names == trait_names
    np.testing.assert_array_equal(found.y_pred, scores)
    assert (found.y_true is not None) == known


def test_a_table_without_scores_is_an_error(tmp_path):
    (tmp_path / "test.csv").write_text("clip_id,group\na,g\n")
    with pytest.raises(RunError, match="one column of scores per trait"):
        read_predictions(tmp_path / "test.csv")
