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


def widths_of(*half_widths):
    """A calibration on 60 clips of 20 groups."""
    return Calibration(
        level=0.9,
        half_widths=np.asarray(half_widths) * np.ones(NUM_TRAITS),
        num_groups=20,
        num_clips=60,
        clips=VALIDATION,
    )


def test_without_calibration_every_interval_is_the_whole_range():
    low, high = uncalibrated().intervals(np.full((1, NUM_TRAITS), 0.3))
    assert (low.min(), high.max()) == (0.0, 1.0)
    assert "there were 0" in uncalibrated().warning


def test_enough_groups_give_no_warning():
    assert widths_of(0.1).warning is None


def test_intervals_end_where_scores_end():
    found = widths_of(0.2)
    low, high = found.intervals(np.array([[0.1, 0.5, 0.9, 0.0, 1.0]]))
    np.testing.assert_allclose(low, [[0.0, 0.3, 0.7, 0.0, 0.8]])
    np.testing.assert_allclose(high, [[0.3, 0.7, 1.0, 0.2, 1.0]])


def test_what_is_written_reads_back_the_same(tmp_path):
    found = widths_of(0.1, 0.123456789, 0.3, 0.4, 0.5)
    write_calibration(tmp_path / "conformal.json", found)
    back = read_calibration(tmp_path / "conformal.json")
    np.testing.assert_array_equal(back.half_widths, found.half_widths)
    assert (back.level, back.num_groups, back.num_clips, back.clips) == (
        0.9,
        20,
        60,
        "validation",
    )


def test_an_infinite_width_is_stored_as_null(tmp_path):
    path = tmp_path / "conformal.json"
    write_calibration(path, uncalibrated())
    assert json.loads(path.read_text())["half_widths"] == dict.fromkeys(TRAITS)
    assert not read_calibration(path).is_informative


def test_without_a_file_nothing_is_calibrated(tmp_path):
    assert read_calibration(tmp_path / "conformal.json").num_groups == 0


@pytest.mark.parametrize("content", ["[]", "{}", '{"level": 0.9, "half_widths": {}}', "null"])
def test_a_file_that_is_no_calibration_is_refused_by_name(tmp_path, content):
    (tmp_path / "conformal.json").write_text(content)
    with pytest.raises(RunError, match=r"conformal\.json: cannot be used"):
        read_calibration(tmp_path / "conformal.json")
