import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.evaluation.score_table import check_table_path, score_table, write_table
from pipeline.records.calibration import Calibration, uncalibrated

READ = {
    ".csv": lambda path: pd.read_csv(path, dtype={"clip_id": str}),
    ".npy": lambda path: pd.DataFrame(np.load(path, allow_pickle=False)),
    ".parquet": pd.read_parquet,
}


@pytest.fixture
def table():
    calibration = Calibration(
        level=0.9,
        half_widths=dict.fromkeys(TRAITS, 0.2),
        num_groups=20,
        num_clips=20,
        clips="validation",
    )
    y_pred = np.random.default_rng(0).random((4, 5)).astype(np.float32)
    return score_table(["a.001", "007", "-x.002", "Zoë, live"], y_pred, calibration)


def test_every_trait_has_a_score_and_an_interval(table):
    expected = ["clip_id"]
    for trait in TRAITS:
        expected += [trait, f"{trait}_low", f"{trait}_high"]
    assert list(table.columns) == expected


def test_an_interval_contains_its_score(table):
    for trait in TRAITS:
        assert (table[f"{trait}_low"] <= table[trait]).all()
        assert (table[trait] <= table[f"{trait}_high"]).all()


def test_scores_and_limits_can_be_in_the_original_range_of_each_trait():
    calibration = Calibration(
        level=0.9,
        half_widths=dict.fromkeys(TRAITS, 0.25),
        num_groups=20,
        num_clips=20,
        clips="validation",
    )
    ranges = [(1, 7), (0, 100), (1, 5), (-2, 2), (0, 1)]
    units = [
        TraitLabel(name=name, label_range=each) for name, each in zip(TRAITS, ranges, strict=True)
    ]
    table = score_table(["a"], np.full((1, 5), 0.5), calibration, units=units)
    rows = [[table[f"{trait}{end}"][0] for end in ("_low", "", "_high")] for trait in TRAITS]
    assert rows == [[2.5, 4, 5.5], [25, 50, 75], [2, 3, 4], [-1, 0, 1], [0.25, 0.5, 0.75]]


def test_without_calibration_the_intervals_are_the_whole_range():
    table = score_table(["a"], np.full((1, 5), 0.5), uncalibrated(TRAITS))
    assert table[["openness_low", "openness_high"]].to_numpy().tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".parquet"])
def test_a_table_is_read_back_unchanged_in_every_format(table, tmp_path, suffix):
    path = tmp_path / "below" / f"scores{suffix}"
    write_table(path, table)
    pd.testing.assert_frame_equal(READ[suffix](path), table, check_dtype=False, rtol=0, atol=0)


def test_a_parquet_file_has_the_columns_of_the_table_only(table, tmp_path):
    write_table(tmp_path / "scores.parquet", table.iloc[[2, 0]])
    names = pyarrow.parquet.read_schema(tmp_path / "scores.parquet").names
    assert names == list(table.columns)


def test_a_failed_write_keeps_the_old_file(table, tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    path.write_text("before")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, table)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scores.xlsx", r"'.xlsx' .* use one of \.csv, \.npy, \.parquet"),
        ("scores", r"use one of \.csv, \.npy, \.parquet"),
        ("scores.CSV", r"use one of \.csv, \.npy, \.parquet"),
        (".csv/", r"use one of \.csv, \.npy, \.parquet"),
        ("directory.csv", "is a directory"),
        ("file/scores.csv", "is a file, not a directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_an_error(tmp_path, name, message):
    (tmp_path / "directory.csv").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message):
        check_table_path(tmp_path / name)
