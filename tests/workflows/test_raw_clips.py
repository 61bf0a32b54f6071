"""Features of raw clips. The extraction itself is replaced; tests/extraction tests it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.config.extraction import ExtractionConfig, SamplingConfig
from pipeline.core.errors import ExtractionError, ModelError
from pipeline.workflows.raw_clips import RawClips, check_kind, extract_as_trained

VIDEOS = RawClips(videos_dir=Path("videos"))
CROPS = RawClips(face_dir=Path("faces"), flow_dir=Path("flow"))
SETTINGS = {"sampling": {"num_steps": 8}}


@pytest.fixture
def calls(monkeypatch):
    """Arguments of each extraction."""
    calls = []
    failure = SimpleNamespace(clip_id="b.mp4", stage="face", reason="no face was found")

    def extract_features(**arguments):
        calls.append(arguments)
        return SimpleNamespace(features_dir=arguments["features_dir"], failed=(failure,))

    monkeypatch.setattr("pipeline.workflows.raw_clips.extract_features", extract_features)
    return calls


def test_videos_are_extracted_with_the_settings_of_the_model(calls, tmp_path):
    features_dir, failures = extract_as_trained(VIDEOS, SETTINGS, tmp_path)
    (call,) = calls
    assert call["config"] == ExtractionConfig(sampling=SamplingConfig(num_steps=8))
    assert (call["videos_dir"], call["face_dir"], call["flow_dir"]) == (Path("videos"), None, None)
    assert features_dir == tmp_path / "features"
    assert failures == ("b.mp4: face: no face was found",)


def test_crops_and_the_number_of_workers_are_passed_on(calls, tmp_path):
    extract_as_trained(CROPS, SETTINGS, tmp_path)
    extract_as_trained(RawClips(videos_dir=Path("v"), num_workers=5), SETTINGS, tmp_path)
    assert (calls[0]["face_dir"], calls[0]["flow_dir"]) == (Path("faces"), Path("flow"))
    assert [call["num_workers"] for call in calls] == [2, 5]


def test_an_error_contains_the_option_of_the_command_predict(monkeypatch, tmp_path):
    def extract_features(**_):
        raise ExtractionError("wk/features: has other clips. Give another --features_dir.")

    monkeypatch.setattr("pipeline.workflows.raw_clips.extract_features", extract_features)
    with pytest.raises(ExtractionError, match=r"Give another --work_dir\.$"):
        extract_as_trained(VIDEOS, SETTINGS, tmp_path)


def test_directories_with_arrays_are_listed():
    clips = RawClips(face_dir=Path("faces"), flow_dir=Path("flow"), work_dir=Path("wk"))
    assert clips.directories == (Path("faces"), Path("flow"), Path("wk/features"))
    assert VIDEOS.directories == ()


OF_VIDEOS = {"static": {"of": "videos"}, "dynamic": {"of": "videos"}}
OF_CROPS = {"static": {"of": "given faces"}, "dynamic": {"of": "given flow"}}
OF_BOTH = {"static": {"of": "given faces"}, "dynamic": {"of": "videos"}}


@pytest.mark.parametrize(
    ("clips", "encoder", "fix"),
    [
        (VIDEOS, OF_CROPS, "given faces.*Give --face_dir with --flow_dir."),
        (CROPS, OF_VIDEOS, "videos.*Give --videos_dir."),
    ],
)
def test_clips_of_another_kind_are_an_error(clips, encoder, fix):
    with pytest.raises(ModelError, match=fix):
        check_kind(clips, encoder)


@pytest.mark.parametrize("encoder", [OF_CROPS, OF_BOTH, "unknown", {"static": "hog"}])
def test_clips_of_the_same_or_an_unknown_kind_are_accepted(encoder):
    check_kind(CROPS, encoder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "settings .* are unknown"),
        ({}, "settings .* are unknown"),
        ({"sampling": {"num_steps": "many"}}, r"\(sampling\.num_steps: .*valid integer"),
    ],
)
def test_unusable_settings_are_an_error_before_the_extraction(calls, tmp_path, settings, message):
    with pytest.raises(ModelError, match=message):
        extract_as_trained(VIDEOS, settings, tmp_path)
    assert calls == []
