"""From recordings to features, with the extraction itself replaced: it has tests of its own."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.config.extraction import ExtractionConfig, SamplingConfig
from pipeline.core.errors import ExtractionError, ModelError
from pipeline.workflows.raw_clips import (
    Recordings,
    extract_as_trained,
    extraction_config,
    refuse_other_recordings,
)


@dataclass(frozen=True)
class Failure:
    clip_id: str = "b.mp4"
    stage: str = "face"
    reason: str = "none was found"


@dataclass(frozen=True)
class Outcome:
    features_dir: Path
    failed: tuple[Failure, ...] = (Failure(),)


@pytest.fixture
def calls(monkeypatch):
    """What the extraction was asked for."""
    asked = []

    def extract_features(**arguments):
        asked.append(arguments)
        return Outcome(arguments["features_dir"])

    monkeypatch.setattr("pipeline.workflows.raw_clips.extract_features", extract_features)
    return asked


SETTINGS = {"sampling": {"num_steps": 8}}


def test_videos_are_extracted_with_the_settings_of_the_model(calls, tmp_path):
    recordings = Recordings(videos_dir=Path("videos"))
    features_dir, failures = extract_as_trained(recordings, SETTINGS, tmp_path)
    (call,) = calls
    assert call["config"] == ExtractionConfig(sampling=SamplingConfig(num_steps=8))
    assert (call["videos_dir"], call["face_dir"], call["flow_dir"]) == (Path("videos"), None, None)
    assert features_dir == tmp_path / "features"
    assert failures == ("b.mp4: face: none was found",)


def test_a_refusal_names_the_option_that_was_given(monkeypatch, tmp_path):
    def extract_features(**_):
        raise ExtractionError("wk/features: holds other clips. Give another --features_dir.")

    monkeypatch.setattr("pipeline.workflows.raw_clips.extract_features", extract_features)
    with pytest.raises(ExtractionError, match=r"Give another --work_dir\.$"):
        extract_as_trained(Recordings(videos_dir=Path("v")), SETTINGS, tmp_path)


def test_the_directories_that_hold_arrays_are_known():
    recordings = Recordings(face_dir=Path("faces"), flow_dir=Path("flow"), work_dir=Path("wk"))
    assert recordings.directories == (Path("faces"), Path("flow"), Path("wk/features"))
    assert Recordings(videos_dir=Path("videos")).directories == ()


def test_crops_and_flow_are_handed_on(calls, tmp_path):
    recordings = Recordings(face_dir=Path("faces"), flow_dir=Path("flow"))
    extract_as_trained(recordings, SETTINGS, tmp_path)
    assert (calls[0]["face_dir"], calls[0]["flow_dir"]) == (Path("faces"), Path("flow"))


CROPS = Recordings(face_dir=Path("faces"), flow_dir=Path("flow"))
OF_VIDEOS = {"static": {"of": "videos"}, "dynamic": {"of": "videos"}}
OF_CROPS = {"static": {"of": "given faces"}, "dynamic": {"of": "given flow"}}
OF_BOTH = {"static": {"of": "given faces"}, "dynamic": {"of": "videos"}}


@pytest.mark.parametrize(
    ("recordings", "encoder", "cure"),
    [
        (Recordings(videos_dir=Path("v")), OF_CROPS, "Give --face_dir with --flow_dir."),
        (CROPS, OF_VIDEOS, "Give --videos_dir."),
    ],
)
def test_recordings_of_another_kind_are_refused_before_they_are_read(recordings, encoder, cure):
    with pytest.raises(ModelError) as refusal:
        refuse_other_recordings(recordings, encoder)
    assert str(refusal.value).endswith(cure)
    assert encoder["static"]["of"] in str(refusal.value)


@pytest.mark.parametrize("encoder", [OF_CROPS, OF_BOTH, "unknown", {"static": "hog"}])
def test_recordings_that_may_fit_are_not_refused_yet(encoder):
    refuse_other_recordings(CROPS, encoder)


def test_as_many_processes_work_as_were_asked_for(calls, tmp_path):
    extract_as_trained(Recordings(videos_dir=Path("v"), num_workers=5), SETTINGS, tmp_path)
    extract_as_trained(Recordings(videos_dir=Path("v")), SETTINGS, tmp_path)
    assert [call["num_workers"] for call in calls] == [5, 2]


@pytest.mark.parametrize("settings", [None, {}])
def test_a_model_that_does_not_say_how_is_refused_before_anything_is_extracted(
    calls, tmp_path, settings
):
    with pytest.raises(ModelError, match="do not say how they were extracted"):
        extract_as_trained(Recordings(videos_dir=Path("videos")), settings, tmp_path)
    assert calls == []


def test_settings_of_another_version_are_refused_by_name(calls):
    with pytest.raises(ModelError, match=r"\(sampling\.num_steps: .*valid integer"):
        extraction_config({"sampling": {"num_steps": "many"}})
