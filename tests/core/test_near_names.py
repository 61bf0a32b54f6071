"""An unknown name is answered with the known name that is most like it."""

import pytest

from pipeline.core.near_names import nearest


@pytest.mark.parametrize(
    ("name", "expected"),
    [("feature_dir", "features_dir"), ("confg", "config"), ("seven", None), ("", None)],
)
def test_the_nearest_known_name_is_found(name, expected):
    assert nearest(name, ["config", "features_dir", "run_dir"]) == expected
