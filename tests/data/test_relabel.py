"""The labels of a feature set are replaced by those of a label table."""

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import AnnotationError, ConfigError
from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set
from pipeline.data.readers.label_table import LabelOptions
from pipeline.data.relabel import with_label_table

IDS = ["v0.000.mp4", "v0.001.mp4", "v1.002.mp4", "v1.003.mp4"]


@pytest.fixture
def relabel(write_files, tmp_path):
    """Return a function that joins a table of scores with the clips of `write_files`."""

    def relabel(table: dict, **options):
        path = tmp_path / "labels.csv"
        pd.DataFrame(table).to_csv(path, index=False)
        features = load_feature_set(write_files())
        return with_label_table(features, [path], LabelOptions.parse(**options))

    return relabel


def scores(ids, **columns):
    """Return a table with the score 1, 2, ... of every trait."""
    return {"clip": ids, **{trait: range(1, len(ids) + 1) for trait in TRAITS}, **columns}


def test_a_table_replaces_labels_groups_and_subsets(relabel):
    table = scores(
        [clip.removesuffix(".mp4") for clip in reversed(IDS)],
        group=["p", "p", "q", "q"],
        Subset=["test", "val", "train", "train"],
    )
    features = relabel(table, label_range="1,5", reverse="openness")
    np.testing.assert_allclose(features.labels[:, 1], [0.75, 0.5, 0.25, 0.0])
    np.testing.assert_allclose(features.labels[:, 0], [0.25, 0.5, 0.75, 1.0])
    assert features.groups.tolist() == ["q", "q", "p", "p"]
    assert features.split_column.tolist() == ["train", "train", "validation", "test"]
    assert features.traits[0].is_reversed
    assert features.traits[1].label_range == (1.0, 5.0)


def test_other_labels_give_another_digest(relabel):
    first, second, third = (
        relabel(scores(IDS), label_range=f"1,{high}").digest for high in (5, 5, 7)
    )
    assert first == second != third


def test_a_clip_without_annotation_is_an_error(relabel):
    with pytest.raises(AnnotationError, match=r"labels\.csv: 1 of 4 .* is 'v1\.003\.mp4'"):
        relabel(scores([*IDS[:3], "v9"]), label_range="1,4")


def test_a_blank_group_is_an_error(relabel):
    with pytest.raises(
        ConfigError, match=r"labels\.csv: the clip 'v0\.001\.mp4' has a blank group"
    ):
        relabel(scores(IDS, group=["p", " ", "q", "q"]), label_range="1,4")
