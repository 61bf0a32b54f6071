"""A description is equal for features that may be mixed, and differs for others."""

import json

import pytest

from pipeline.config.extraction import (
    DynamicConfig,
    ExtractionConfig,
    FacesConfig,
    SamplingConfig,
    StaticConfig,
)
from pipeline.extraction.description import describe, thresholds
from pipeline.extraction.worker import Job


def job(config=None, **has):
    given = {"has_videos": True, "has_faces": False, "has_flow": False, **has}
    return Job(config=config or ExtractionConfig(), **given)


@pytest.mark.parametrize(
    "config",
    [
        ExtractionConfig(sampling=SamplingConfig(num_steps=8)),
        ExtractionConfig(sampling=SamplingConfig(pair_seconds=0.1)),
        ExtractionConfig(faces=FacesConfig(crop_px=96)),
        ExtractionConfig(faces=FacesConfig(detect_px=320)),
        ExtractionConfig(static=StaticConfig(dim=64)),
        ExtractionConfig(dynamic=DynamicConfig(num_pairs=2)),
    ],
)
def test_what_changes_values_changes_the_description(config):
    assert describe(job(config)) != describe(job())


@pytest.mark.parametrize(
    "config",
    [
        ExtractionConfig(num_shown=9, time_limit_seconds=5),
        ExtractionConfig(sampling=SamplingConfig(min_coverage=0.1)),
        ExtractionConfig(faces=FacesConfig(min_share=0.9)),
    ],
)
def test_what_changes_no_value_does_not(config):
    assert describe(job(config)) == describe(job())


def test_thresholds_stand_apart_as_they_decide_which_clips_are_used():
    config = ExtractionConfig(faces=FacesConfig(min_share=0.9))
    assert thresholds(job(config)) == {"min_coverage": 0.5, "min_share": 0.9}


def test_given_faces_and_flow_are_told_from_those_of_videos():
    assert describe(job(has_faces=True))["static"]["of"] == "given faces"
    assert describe(job(has_faces=True))["dynamic"]["of"] == "videos"
    both = describe(job(has_videos=False, has_faces=True, has_flow=True))
    assert "detector" not in both["faces"]
    assert "mtcnn" not in both["libraries"]


def test_the_description_survives_json():
    assert json.loads(json.dumps(describe(job()))) == describe(job())


def test_versions_count_by_their_first_number():
    libraries = describe(job())["libraries"]
    assert set(libraries) == {"av", "mtcnn", "opencv-python-headless"}
    assert all(version.isdecimal() for version in libraries.values())
