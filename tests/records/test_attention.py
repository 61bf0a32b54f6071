import dataclasses

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.records.attention import (
    FRAMES,
    LEARNED_TOKENS,
    AttentionMeasurements,
    DeletionCurves,
    queries_and_keys,
    read_attention,
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
    key_kinds={"static": FRAMES, "dynamic": LEARNED_TOKENS},
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
)


def assert_same(first, second):
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if field.name == "deletions":
            assert one.keys() == other.keys()
            for stream in one:
                assert_same(one[stream], other[stream])
        else:
            np.testing.assert_equal(one, other)


@pytest.mark.parametrize("measured", [MEASURED, AttentionMeasurements(missing={"attention": "?"})])
def test_what_is_written_is_read_again(tmp_path, measured):
    write_attention(tmp_path / "attention.npz", measured)
    assert_same(read_attention(tmp_path / "attention.npz"), measured)


def test_the_file_holds_plain_arrays_under_readable_names(tmp_path):
    write_attention(tmp_path / "attention.npz", MEASURED)
    with np.load(tmp_path / "attention.npz", allow_pickle=False) as archive:
        assert "mean_maps/block_1/static_to_dynamic" in archive.files
        assert "deletions/static/movement/traits/top" in archive.files
        assert archive["clip_ids"].tolist() == ["a.000", "b.001"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"attention\.npz: there is no such file\. Measure"):
        read_attention(tmp_path / "attention.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"text"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "attention.npz").write_bytes(content)
    with pytest.raises(RunError, match=r"attention\.npz: cannot be read as arrays .* Measure"):
        read_attention(tmp_path / "attention.npz")


def test_a_torn_file_is_named(tmp_path):
    path = tmp_path / "attention.npz"
    write_attention(path, MEASURED)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(RunError, match=r"attention\.npz: cannot be read as arrays .* Measure"):
        read_attention(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "attention.npz", weights=np.ones(3))
    with pytest.raises(RunError, match="does not hold measurements of attention"):
        read_attention(tmp_path / "attention.npz")


def test_a_later_format_is_refused(tmp_path):
    np.savez(tmp_path / "attention.npz", format=np.array(2))
    with pytest.raises(RunError, match="is of format 2, expected 1"):
        read_attention(tmp_path / "attention.npz")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("block_2/static_to_dynamic", ("static", ("dynamic",))),
        ("block_1/dynamic_to_static", ("dynamic", ("static",))),
        ("traits", ("traits", STREAMS)),
        ("dynamic/traits", ("traits", ("dynamic",))),
    ],
)
def test_a_name_says_who_looks_at_what(name, expected):
    assert queries_and_keys(name, STREAMS) == expected


def test_rankings_are_those_with_a_top_curve():
    assert CURVES.rankings == ("traits",)


def test_the_area_is_the_mean_movement_under_a_curve_over_its_draws():
    # Trapezoids: half of (0.0 + 0.2) / 2 and half of (0.2 + 0.2) / 2.
    assert CURVES.area("traits/top") == pytest.approx(0.15)
    assert CURVES.area("random") == pytest.approx(0.15)
    assert CURVES.area("traits/bottom") == pytest.approx(0.05)
