"""A plan contains the tasks of uncached clips and the description of the features."""

import json

import pytest

from pipeline.config.extraction import (
    DynamicConfig,
    ExtractionConfig,
    FacesConfig,
    SamplingConfig,
    StaticConfig,
)
from pipeline.extraction.plan import describe_features, plan_extraction
from pipeline.extraction.tasks import Job

JOB = Job(config=ExtractionConfig())


def describe(**settings):
    return describe_features(Job(config=ExtractionConfig(**settings)))


def test_every_clip_has_a_task_and_the_shown_clips_have_a_strip(tmp_path, make_sources):
    plan = plan_extraction(JOB, make_sources("a.mp4", "b.mp4"), tmp_path / "out")
    first, second = plan.remaining(plan.tasks, shown=["a.mp4"])
    assert (first.source.clip_id, second.source.clip_id) == ("a.mp4", "b.mp4")
    assert first.path != second.path
    assert (first.with_strip, second.with_strip) == (True, False)


def test_the_contact_sheet_shows_as_many_groups_as_possible(tmp_path, make_sources):
    job = Job(config=ExtractionConfig(num_shown=3))
    groups = {"a.mp4": "anna", "b.mp4": "anna", "c.mp4": "ben", "d.mp4": "ben"}
    plan = plan_extraction(job, make_sources(*groups), tmp_path / "out")
    assert plan.shown_clips(plan.tasks, groups) == ["a.mp4", "c.mp4", "b.mp4"]


def test_unfinished_files_of_a_killed_worker_are_removed(tmp_path, make_sources):
    plan = plan_extraction(JOB, make_sources("a.mp4"), tmp_path / "out")
    unfinished = plan.tasks["a.mp4"].path.with_name(".half.0123abcd.npz")
    unfinished.parent.mkdir()
    unfinished.write_bytes(b"x")
    table = tmp_path / "out" / ".failures.csv.0123abcd.csv"
    table.touch()
    plan_extraction(JOB, make_sources("a.mp4"), tmp_path / "out")
    assert not unfinished.exists()
    assert not table.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling": SamplingConfig(num_steps=8)},
        {"sampling": SamplingConfig(pair_seconds=0.1)},
        {"faces": FacesConfig(crop_px=96)},
        {"faces": FacesConfig(detect_px=320)},
        {"static": StaticConfig(dim=64)},
        {"dynamic": DynamicConfig(num_pairs=2)},
    ],
)
def test_settings_that_change_values_change_the_description(settings):
    assert describe(**settings) != describe()


@pytest.mark.parametrize(
    "settings",
    [
        {"num_shown": 9, "time_limit_seconds": 5},
        {"sampling": SamplingConfig(min_coverage=0.1)},
        {"faces": FacesConfig(min_share=0.9)},
    ],
)
def test_other_settings_do_not_change_the_description(settings):
    assert describe(**settings) == describe()


def test_thresholds_change_the_fingerprints(tmp_path, make_sources):
    sources = make_sources("a.mp4")
    strict = Job(config=ExtractionConfig(faces=FacesConfig(min_share=0.9)))
    first, second = (plan_extraction(job, sources, tmp_path / "out") for job in (JOB, strict))
    assert first.tasks["a.mp4"].fingerprint != second.tasks["a.mp4"].fingerprint


def test_precomputed_faces_and_flow_are_described():
    config = ExtractionConfig()
    faces = describe_features(Job(config=config, has_faces=True))
    assert (faces["static"]["of"], faces["dynamic"]["of"]) == ("given faces", "videos")
    both = describe_features(Job(config=config, has_faces=True, has_flow=True))
    assert "detector" not in both["faces"]
    assert "mtcnn" not in both["libraries"]


def test_the_description_contains_major_versions_and_can_be_written_as_json():
    description = describe()
    assert json.loads(json.dumps(description)) == description
    assert set(description["libraries"]) == {"av", "mtcnn", "opencv-python-headless"}
    assert all(version.isdecimal() for version in description["libraries"].values())
