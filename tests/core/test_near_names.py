from pathlib import Path

import pytest

from pipeline.core.near_names import did_you_mean, did_you_mean_path, nearest_name


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
