import dataclasses
import json

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.core.traits import NUM_TRAITS, TRAITS
from pipeline.records.calibration import (
    VALIDATION,
    Calibration,
    read_calibration,
    uncalibrated,
    write_calibration,
)


def make_calibration(*half_widths):
    """Make a calibration on 60 clips of 20 groups."""
    return Calibration(
        level=0.9,
        half_widths=dict(zip(TRAITS, np.asarray(half_widths) * np.ones(5), strict=True)),
        num_groups=20,
        num_clips=60,
        clips=VALIDATION,
    )


def test_without_calibration_every_interval_is_the_whole_range(tmp_path):
    found = read_calibration(tmp_path / "missing.json", TRAITS)
    low, high = found.intervals(np.full((1, NUM_TRAITS), 0.3))
    assert (low.min(), high.max()) == (0.0, 1.0)
    assert "there were 0" in found.warning
    assert make_calibration(0.1).warning is None


def test_intervals_end_at_the_ends_of_the_score_range():
    low, high = make_calibration(0.2).intervals(np.array([[0.1, 0.5, 0.9, 0.0, 1.0]]))
    np.testing.assert_allclose(low, [[0.0, 0.3, 0.7, 0.0, 0.8]])
    np.testing.assert_allclose(high, [[0.3, 0.7, 1.0, 0.2, 1.0]])


def test_a_written_calibration_reads_back_the_same(tmp_path):
    written = make_calibration(0.1, 0.123456789, 0.3, 0.4, 0.5)
    write_calibration(tmp_path / "conformal.json", written)
    found = read_calibration(tmp_path / "conformal.json", TRAITS)
    assert found.half_widths == written.half_widths
    assert (found.level, found.num_groups, found.num_clips) == (0.9, 20, 60)
    assert found.clips == "validation"


def test_an_infinite_width_is_stored_as_null(tmp_path):
    path = tmp_path / "conformal.json"
    write_calibration(path, uncalibrated(TRAITS))
    assert json.loads(path.read_text())["half_widths"] == dict.fromkeys(TRAITS)
    assert not read_calibration(path, TRAITS).is_informative


@pytest.mark.parametrize("content", ["[]", "{}", '{"level": 0.9, "half_widths": {}}', "null"])
def test_a_damaged_file_is_an_error(tmp_path, content):
    (tmp_path / "conformal.json").write_text(content)
    with pytest.raises(RunError, match=r"conformal\.json: cannot be used"):
        read_calibration(tmp_path / "conformal.json", TRAITS)


def test_a_calibration_has_the_order_of_the_traits_of_the_model(tmp_path):
    path = tmp_path / "conformal.json"
    written = dataclasses.replace(make_calibration(0.1), half_widths={"b": 0.2, "a": 0.1})
    write_calibration(path, written)
    low, _ = read_calibration(path, ["a", "b"]).intervals(np.full((1, 2), 0.5))
    np.testing.assert_allclose(low, [[0.4, 0.3]])


def test_a_calibration_of_other_traits_is_an_error(tmp_path):
    path = tmp_path / "conformal.json"
    write_calibration(path, make_calibration(0.1))
    with pytest.raises(RunError, match="one width per trait: honesty; found openness"):
        read_calibration(path, ["honesty"])
