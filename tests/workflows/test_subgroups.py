import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import PipelineError
from pipeline.data.feature_set import load_feature_set
from pipeline.workflows.subgroups import known_columns, refuse_unusable_columns, values_by


@pytest.fixture
def features(small_features, tmp_path):
    """The small set, with a column of two values and one of as many as there are clips."""
    for path in small_features.iterdir():
        (tmp_path / path.name).symlink_to(path)
    table = pd.read_csv(tmp_path / "clips.csv")
    (tmp_path / "clips.csv").unlink()
    table = table.assign(gender=["female", "male"] * 30, age=np.arange(60))
    table.to_csv(tmp_path / "clips.csv", index=False)
    return load_feature_set(tmp_path)


def test_the_values_are_those_of_the_clips_in_their_order(features):
    assert values_by(features, np.array([3, 0]), ("gender",)) == {"gender": ["male", "female"]}


def test_values_that_differ_invisibly_are_one(features):
    table = features.clips.assign(gender=["male ", "male", "male\u00a0", "\u200bmale"] * 15)
    odd = dataclasses.replace(features, clips=table)
    assert set(values_by(odd, np.arange(60), ("gender",))["gender"]) == {"male"}


def test_columns_that_a_set_lacks_are_passed_over(features):
    assert known_columns(features, ("gender", "camera_angle")) == ("gender",)


def test_a_column_that_the_table_lacks_is_refused_with_those_it_has(features):
    with pytest.raises(
        PipelineError, match=r"no column gneder .*gender, age\. Did you mean 'gender'"
    ):
        refuse_unusable_columns(features, np.arange(60), ("gneder",))


def test_a_column_of_too_many_values_is_refused_and_of_fewer_clips_taken(features):
    refuse_unusable_columns(features, np.arange(50), ("gender", "age"))
    with pytest.raises(PipelineError, match="column 'age' has 60 distinct values"):
        refuse_unusable_columns(features, np.arange(60), ("gender", "age"))
