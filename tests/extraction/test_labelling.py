"""Annotations are joined before any work is done."""

import pandas as pd
import pytest

from pipeline.core.errors import ExtractionError
from pipeline.core.traits import TRAITS
from pipeline.data.readers.annotations import read_annotations
from pipeline.extraction.labelling import find_labels
from pipeline.extraction.sources import ClipSource


@pytest.fixture
def annotations(tmp_path):
    table = pd.DataFrame(
        {"clip_id": ["a.mp4", "b", "unused"], **{key: [0.1, 0.2, 0.3] for key in TRAITS}}
    )
    table.to_csv(tmp_path / "labels.csv", index=False)
    return read_annotations([tmp_path / "labels.csv"])


def sources(*clip_ids):
    return [ClipSource(clip_id=clip_id) for clip_id in clip_ids]


def test_clips_have_their_scores_with_or_without_the_suffix(annotations):
    labelled, scores, failed = find_labels(sources("a.mp4", "b.mp4"), annotations)
    assert [source.clip_id for source in labelled] == ["a.mp4", "b.mp4"]
    assert scores["a.mp4"].tolist() == pytest.approx([0.1] * 5)
    assert scores["b.mp4"].tolist() == pytest.approx([0.2] * 5)
    assert failed == []


def test_a_clip_without_scores_is_listed(annotations):
    labelled, scores, failed = find_labels(sources("a.mp4", "x.mp4"), annotations)
    assert [source.clip_id for source in labelled] == ["a.mp4"]
    assert list(scores) == ["a.mp4"]
    assert [(result.clip_id, result.stage) for result in failed] == [("x.mp4", "annotation")]


def test_annotations_of_other_clips_are_refused_before_hours_are_spent(annotations):
    with pytest.raises(ExtractionError, match=r"none of the 1 clips is annotated\. .*x\.mp4"):
        find_labels(sources("x.mp4"), annotations)


def test_without_annotations_every_clip_is_used():
    given = sources("a", "b")
    assert find_labels(given, None) == (given, {}, [])


def test_the_nearest_annotated_name_is_told(annotations):
    with pytest.raises(ExtractionError, match=r"first is 'Unused\.mp4', .* is of 'unused'"):
        find_labels(sources("Unused.mp4"), annotations)
