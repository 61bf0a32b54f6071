"""The nearest name is found, and no name is made up."""

import pytest

from pipeline.core.near_names import did_you_mean, did_you_mean_path, nearest_name, nearest_path


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cros_attention", "cross_attention"),
        ("Cross_Attention", "cross_attention"),
        ("gate", "gated"),
        ("xyz", None),
        ("CROSS_ATTENTION", "cross_attention"),
        ("videos/late", "late"),
        ("videos\\late", "late"),
    ],
)
def test_the_nearest_name_is_found_where_one_is_near(name, near):
    assert nearest_name(name, ["cross_attention", "gated", "late"]) == near


def test_the_hint_ends_a_sentence_or_is_empty():
    assert did_you_mean("maee", ["mae", "mse"]) == " Did you mean 'mae'?"
    assert did_you_mean("other", ["mae", "mse"]) == ""


@pytest.mark.parametrize(
    "given",
    [
        "experiments/first_impresions.yaml",
        "experiment/first_impressions.yaml",
        "experimets/First_Impressions.yml",
        "experiments/first_impressions",
    ],
)
def test_every_misspelt_part_of_a_path_is_replaced(tmp_path, given):
    path = tmp_path / "experiments" / "first_impressions.yaml"
    path.parent.mkdir()
    path.touch()
    (tmp_path / "experiments" / "demo.yaml").touch()
    assert nearest_path(tmp_path / given) == path
    assert did_you_mean_path(tmp_path / given) == f" Did you mean {path}?"


def test_a_path_that_is_like_no_other_has_no_hint(tmp_path):
    (tmp_path / "demo.yaml").touch()
    assert did_you_mean_path(tmp_path / "runs" / "x") == ""


def test_a_relative_path_stays_relative(tmp_path, monkeypatch):
    (tmp_path / "features").mkdir()
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    assert nearest_path(Path("feature")) == Path("features")
