import dataclasses

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.records.attention import (
    LEARNED_TOKENS,
    AttentionMeasurements,
    DeletionCurves,
    queries_and_keys,
    read_attention,
    step_kind,
    write_attention,
)

STREAMS = ("static", "dynamic")

CURVES = DeletionCurves(
    hidden_by="taken out by the mask",
    num_clips=7,
    hidden_share=np.array([0.0, 0.5, 1.0]),
    movement={
        "traits/top": np.array([[0.0, 0.2, 0.2]]),
        "traits/bottom": np.array([[0.0, 0.0, 0.2]]),
        "random": np.array([[0.0, 0.1, 0.2], [0.0, 0.3, 0.2]]),
    },
    error={"traits/top": np.array([[0.1, 0.2, 0.2]])},
)

MEASURED = AttentionMeasurements(
    clip_ids=("a.000", "b.001"),
    key_kinds={"static": step_kind("static"), "dynamic": LEARNED_TOKENS},
    num_keys={"static": 2, "dynamic": 3},
    mean_maps={"block_1/static_to_dynamic": np.full((1, 2, 3), 1 / 3)},
    entropy={"block_1/static_to_dynamic": np.array([[1.0], [np.nan]])},
    agreement={"block_1/static_to_dynamic": np.ones((1, 1))},
    trait_attention={"static": np.zeros((5, 2))},
    trait_rollout={"static": np.ones((5, 2))},
    sample_ids=("b.001",),
    sample_maps={"block_1/static_to_dynamic": np.ones((1, 1, 2, 3))},
    sample_trait_attention={"static": np.zeros((1, 5, 2))},
    sample_trait_rollout={"static": np.ones((1, 5, 2))},
    deletions={"static": CURVES},
    missing={"dynamic": "no steps"},
    seconds={"static": np.array([0.5, np.nan])},
    sample_seconds={"static": np.array([[0.4, 1.2]])},
    split="validation",
)


@pytest.mark.parametrize("measured", [MEASURED, AttentionMeasurements(missing={"attention": "?"})])
def test_written_measurements_read_back_the_same(tmp_path, measured):
    write_attention(tmp_path / "attention.npz", measured)
    found = read_attention(tmp_path / "attention.npz")
    np.testing.assert_equal(dataclasses.asdict(found), dataclasses.asdict(measured))


def test_the_file_has_plain_arrays_with_readable_names(tmp_path):
    write_attention(tmp_path / "attention.npz", MEASURED)
    with np.load(tmp_path / "attention.npz", allow_pickle=False) as archive:
        assert "mean_maps/block_1/static_to_dynamic" in archive.files
        assert "deletions/static/movement/traits/top" in archive.files
        assert archive["clip_ids"].tolist() == ["a.000", "b.001"]


def cut_short(path):
    write_attention(path, MEASURED)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, r"there is no such file\. Measure"),
        (lambda path: path.write_bytes(b""), "cannot be read as arrays .* Measure"),
        (lambda path: path.write_bytes(b"PK\x03\x04 half a file"), "cannot be read as arrays"),
        (lambda path: path.write_bytes(b"text"), "cannot be read as arrays"),
        (cut_short, "cannot be read as arrays .* Measure"),
        (lambda path: np.savez(path, weights=np.ones(3)), "contains no attention measurements"),
        (lambda path: np.savez(path, format=np.array(2)), "must have format 1, but has format 2"),
    ],
)
def test_a_missing_or_damaged_file_is_an_error(tmp_path, write, message):
    write(tmp_path / "attention.npz")
    with pytest.raises(RunError, match=rf"attention\.npz: {message}"):
        read_attention(tmp_path / "attention.npz")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block_2/static_to_dynamic", ("static", ("dynamic",))),
        ("block_1/dynamic_to_static", ("dynamic", ("static",))),
        ("block_1/audio_to_static+dynamic", ("audio", ("static", "dynamic"))),
        ("block_1/static_to_static", ("static", ("static",))),
        ("traits", ("traits", STREAMS)),
        ("dynamic/traits", ("traits", ("dynamic",))),
    ],
)
def test_a_map_name_defines_queries_and_keys(name, expected):
    assert queries_and_keys(name, STREAMS) == expected


def test_the_area_is_the_mean_movement_of_a_curve():
    assert CURVES.rankings == ("traits",)
    # Trapezoids: half of (0.0 + 0.2) / 2 and half of (0.2 + 0.2) / 2.
    assert CURVES.area("traits/top") == pytest.approx(0.15)
    assert CURVES.area("random") == pytest.approx(0.15)
    assert CURVES.area("traits/bottom") == pytest.approx(0.05)
