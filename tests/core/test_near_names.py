from pathlib import Path

import pytest

from pipeline.core.near_names import (
    did_you_mean,
    did_you_mean_path,
    is_setting,
    nearest_name,
    nearest_setting,
)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("cros_attention", "cross_attention"),
        ("Cross_Attention", "cross_attention"),
        ("CROSS_ATTENTION", "cross_attention"),
        ("gate", "gated"),
        ("xyz", None),
        ("videos/late", "late"),
        ("videos\\late", "late"),
    ],
)
def test_the_nearest_name_is_found_or_none(name, nearest):
    assert nearest_name(name, ["cross_attention", "gated", "late"]) == nearest


SETTINGS = (
    "seed",
    "model.num_heads",
    "training.num_epochs",
    "training.num_folds",
    "search.num_folds",
)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("num_epochs", "training.num_epochs"),
        ("epochs", "training.num_epochs"),
        ("model.heads", "model.num_heads"),
        ("trainin.num_epoch", "training.num_epochs"),
        ("training.Num-Heads", "model.num_heads"),
        ("folds", "training.num_folds"),
        ("search.folds", "search.num_folds"),
        ("random_state", "seed"),
        ("wd", None),
        ("colour", None),
    ],
)
def test_the_nearest_setting_is_found_by_its_last_part_or_an_alias(name, nearest):
    assert nearest_setting(name, SETTINGS) == nearest


@pytest.mark.parametrize(("name", "expected"), [("num_epochs", True), ("lr", False), ("cv", True)])
def test_a_name_is_a_setting_if_a_last_part_or_an_alias_is_equal(name, expected):
    assert is_setting(name, SETTINGS) is expected


def test_a_hint_ends_a_sentence_or_is_empty():
    assert did_you_mean("maee", ["mae", "mse"]) == " Did you mean 'mae'?"
    assert did_you_mean("other", ["mae", "mse"]) == ""


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("experiments/first_impresions.yaml", "experiments/first_impressions.yaml"),
        ("experiment/first_impressions.yaml", "experiments/first_impressions.yaml"),
        ("experimets/First_Impressions.yml", "experiments/first_impressions.yaml"),
        ("experiments/first_impressions", "experiments/first_impressions.yaml"),
        ("runs/x", None),
        ("experiments", None),
    ],
)
def test_all_misspelt_parts_of_a_path_are_replaced(tmp_path, monkeypatch, path, nearest):
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    for name in ("first_impressions", "demo"):
        Path(f"experiments/{name}.yaml").touch()
    assert did_you_mean_path(Path(path)) == (f" Did you mean {nearest}?" if nearest else "")
    absolute = f" Did you mean {tmp_path / nearest}?" if nearest else ""
    assert did_you_mean_path(tmp_path / path) == absolute
