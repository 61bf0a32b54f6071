"""An extraction as a whole: made, gone on with, refused."""

import csv
import errno
import json
import shutil

import filelock
import numpy as np
import pandas as pd
import pytest

from pipeline.config.extraction import ExtractionConfig, FacesConfig, SamplingConfig
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set
from pipeline.extraction import run as run_module
from pipeline.extraction.run import extract_features
from pipeline.extraction.worker import build_work
from tests.extraction.drawn_videos import draw_frames, write_video

pytestmark = pytest.mark.slow


@pytest.fixture
def extract(monkeypatch):
    monkeypatch.setattr(run_module, "run_tasks", run_in_this_process)
    return extract_features


def run_in_this_process(job, tasks, **_):
    return map(build_work(job), tasks)  # worker processes take long to start


@pytest.fixture
def videos(tmp_path, face_frames):
    folder = tmp_path / "videos"
    (folder / "part 1").mkdir(parents=True)
    write_video(folder / "part 1" / "anna.000.mp4", face_frames[:24])
    write_video(folder / "part 1" / "anna.001.mp4", face_frames[24:])
    write_video(folder / "берт 1.000.mkv", face_frames[:12])
    return folder


CONFIG = ExtractionConfig(sampling=SamplingConfig(num_steps=4), num_shown=2)


def read_failures(outcome):
    with outcome.failures_path.open(encoding="utf-8", newline="") as file:
        return {row["clip_id"]: row for row in csv.DictReader(file)}


def test_videos_become_a_feature_set(extract, videos, tmp_path):
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    features = load_feature_set(tmp_path / "out")
    assert features.clip_ids.tolist() == ["anna.000.mp4", "anna.001.mp4", "берт 1.000.mkv"]
    assert features.groups.tolist() == ["anna", "anna", "берт 1"]
    assert features.static.shape == (3, 4, 512)
    assert features.dynamic.shape == (3, 4, 256)
    assert features.has_groups
    times = features.seconds.read(np.arange(3))
    seen = features.static.read_mask(np.arange(3))
    np.testing.assert_array_equal(np.isfinite(times), seen)
    assert all((np.diff(row[mask]) > 0).all() for row, mask in zip(times, seen, strict=True))
    assert features.labels is None
    assert (outcome.num_clips, outcome.num_done, outcome.num_failed) == (3, 3, 0)
    assert outcome.contact_sheet_path.stat().st_size > 1000
    assert read_failures(outcome) == {}


def test_a_second_run_does_nothing(extract, videos, tmp_path, monkeypatch):
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.np[yz]")}
    monkeypatch.setattr(run_module, "WorkerPool", None)  # would fail if it were used
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert (outcome.num_done, outcome.num_skipped) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_extraction_that_was_stopped_goes_on_with_what_is_missing(extract, videos, tmp_path):
    whole = extract(features_dir=tmp_path / "whole", videos_dir=videos, config=CONFIG)
    out = tmp_path / "out"
    out.mkdir()
    shutil.copytree(whole.features_dir / ".units", out / ".units")
    next((out / ".units").glob("*/*.npz")).unlink()
    outcome = extract(features_dir=out, videos_dir=videos, config=CONFIG)
    assert (outcome.num_done, outcome.num_skipped) == (1, 2)
    assert load_feature_set(out).digest == load_feature_set(whole.features_dir).digest


@pytest.mark.parametrize("name", ["static.npy", "clips.csv", "contact_sheet.png"])
def test_a_file_that_was_lost_is_written_again(extract, videos, tmp_path, name):
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    before = load_feature_set(tmp_path / "out").digest
    (tmp_path / "out" / name).unlink()
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert (outcome.num_done, outcome.num_skipped) == (0, 3)
    assert (tmp_path / "out" / name).stat().st_size > 0
    assert load_feature_set(tmp_path / "out").digest == before


def test_others_are_shown_where_the_first_clips_fail(extract, videos, tmp_path):
    for number in range(3):
        (videos / f"0{number}.mp4").write_bytes(b"")
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert (outcome.num_done, outcome.num_failed) == (3, 3)
    with_two = outcome.contact_sheet_path.read_bytes()
    whole = extract(features_dir=tmp_path / "whole", videos_dir=videos / "part 1", config=CONFIG)
    assert whole.contact_sheet_path.read_bytes() == with_two


def test_new_clips_are_added_to_the_set(extract, videos, tmp_path, face_frames):
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    write_video(videos / "carl.000.mp4", face_frames[:12])
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert (outcome.num_done, outcome.num_skipped) == (1, 3)
    assert load_feature_set(tmp_path / "out").num_clips == 4


def test_a_clip_that_has_changed_is_made_again(extract, videos, tmp_path, face_frames):
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    before = load_feature_set(tmp_path / "out").static.read(np.arange(3))
    write_video(videos / "part 1" / "anna.000.mp4", face_frames[::-2])
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert (outcome.num_done, outcome.num_skipped) == (1, 2)
    after = load_feature_set(tmp_path / "out").static.read(np.arange(3))
    assert not np.allclose(before[0], after[0])
    np.testing.assert_array_equal(before[1:], after[1:])


def test_results_of_other_settings_are_not_mixed_in(extract, videos, tmp_path):
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    other = ExtractionConfig(
        sampling=SamplingConfig(num_steps=4), faces=FacesConfig(crop_px=96), num_shown=2
    )
    with pytest.raises(ExtractionError, match=r"faces\.crop_px was 112 and is 96"):
        extract(features_dir=tmp_path / "out", videos_dir=videos, config=other)
    (tmp_path / "out" / "features.json").unlink()  # as if the first had been stopped
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=other)
    assert (outcome.num_done, outcome.num_skipped) == (3, 0)


def test_equal_settings_have_equal_descriptions(extract, videos, tmp_path):
    for name in ("a", "b"):
        extract(features_dir=tmp_path / name, videos_dir=videos, config=CONFIG)
    first, second = (
        json.loads((tmp_path / name / "features.json").read_text())["encoder"] for name in "ab"
    )
    assert first == second
    assert first["name"] == "hog + rectified_flow"


def test_clips_of_another_place_do_not_replace_a_set(extract, videos, tmp_path, face_frames):
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    other = tmp_path / "other"
    other.mkdir()
    write_video(other / "carl.000.mp4", face_frames[:12])
    with pytest.raises(ExtractionError, match="holds 3 clips that are not among those given"):
        extract(features_dir=tmp_path / "out", videos_dir=other, config=CONFIG)


def test_clips_that_fail_are_listed_with_stage_and_reason(extract, videos, tmp_path, face_frames):
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.avi").write_text("no video")
    write_video(videos / "nobody.mp4", draw_frames(20))
    write_video(videos / "one frame.mp4", face_frames[:1])
    (videos / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert outcome.num_clips == 3
    assert {name: row["stage"] for name, row in read_failures(outcome).items()} == {
        "empty.mp4": "open",
        "text.avi": "open",
        "gone.mp4": "open",
        "nobody.mp4": "face",
        "one frame.mp4": "decode",
    }
    assert load_feature_set(tmp_path / "out").num_clips == 3


def test_videos_of_other_suffixes_are_used_and_what_is_not_is_listed(
    extract, tmp_path, face_frames, caplog
):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "a.mp4", face_frames[:12])
    write_video(folder / "b.wmv", face_frames[:12], codec="wmv2", options={"b": "2000000"})
    write_video(folder / "c.MTS", face_frames[:12], container_format="mpegts")
    (folder / "notes.txt").write_text("x")
    outcome = extract(features_dir=tmp_path / "out", videos_dir=folder, config=CONFIG)
    assert outcome.failed == ()
    assert outcome.warnings == {}
    table = pd.read_csv(tmp_path / "out" / "clips.csv")
    assert table["clip_id"].tolist() == ["a.mp4", "b.wmv", "c.MTS"]
    assert "files that are not used as clips: 1 .txt. failures.csv will list them." in caplog.text
    failures = pd.read_csv(outcome.failures_path)
    assert failures[["clip_id", "stage"]].to_numpy().tolist() == [
        [str(folder / "notes.txt"), "suffix"]
    ]


def test_a_clip_that_failed_is_tried_again(extract, videos, tmp_path, face_frames):
    (videos / "late.mp4").write_bytes(b"")
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    write_video(videos / "late.mp4", face_frames[:12])
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert outcome.num_failed == 0
    assert load_feature_set(tmp_path / "out").num_clips == 4


def test_if_no_clip_can_be_used_that_is_an_error(extract, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").write_bytes(b"x")
    with pytest.raises(ExtractionError, match=r"none of 1 clips could be used; the first, a\.mp4"):
        extract(features_dir=tmp_path / "out", videos_dir=tmp_path / "videos", config=CONFIG)
    assert (tmp_path / "out" / "failures.csv").read_text().count("\n") == 2


def test_annotations_become_labels_and_clips_without_any_are_listed(extract, videos, tmp_path):
    scores = {"clip_id": ["anna.000.mp4", "anna.001.mp4"], **{key: [0.25, 0.75] for key in TRAITS}}
    pd.DataFrame(scores).to_csv(tmp_path / "labels.csv", index=False)
    outcome = extract(
        features_dir=tmp_path / "out",
        videos_dir=videos,
        annotations=[tmp_path / "labels.csv"],
        config=CONFIG,
    )
    features = load_feature_set(tmp_path / "out")
    np.testing.assert_allclose(features.labels[:, 2], [0.25, 0.75])
    assert read_failures(outcome)["берт 1.000.mkv"]["stage"] == "annotation"
    assert "labels.csv" in features.metadata["annotations"]


def test_parts_of_a_batch_array_are_one_sharded_set(extract, videos, tmp_path):
    whole = extract(features_dir=tmp_path / "whole", videos_dir=videos, config=CONFIG)
    for part in (1, 2):
        extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG, shard=(part, 2))
    sharded = load_feature_set(tmp_path / "out")
    one = load_feature_set(whole.features_dir)
    assert sorted(sharded.clip_ids) == sorted(one.clip_ids)
    assert sharded.metadata["encoder"] == one.metadata["encoder"]


def test_nothing_is_written_outside_of_the_directory(extract, videos, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    new = set(tmp_path.rglob("*")) - set(before)
    assert all(path.is_relative_to(tmp_path / "out") for path in new)


def test_a_full_disk_is_said_in_a_line(extract, videos, tmp_path, monkeypatch):
    def fill(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pipeline.extraction.assemble.gather", fill)
    with pytest.raises(ExtractionError, match="out: No space left on device"):
        extract(videos_dir=videos, features_dir=tmp_path / "out", config=CONFIG)


def test_a_directory_of_other_files_is_not_touched(extract, videos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    with pytest.raises(ExtractionError, match="no extraction has written"):
        extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.doc"]


def test_a_folder_of_videos_is_no_extraction_of_ours(extract, videos, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(videos, project / "clips")
    (project / "labels.npy").write_bytes(b"mine")
    with pytest.raises(ExtractionError, match="holds clips, which no extraction has written"):
        extract(features_dir=project, videos_dir=project / "clips", config=CONFIG)
    assert (project / "labels.npy").read_bytes() == b"mine"


def test_labels_that_were_put_beside_the_features_are_not_removed(extract, videos, tmp_path):
    out = tmp_path / "out"
    extract(features_dir=out, videos_dir=videos, config=CONFIG)
    np.save(out / "labels.npy", np.full((3, 5), 0.5, dtype=np.float32))
    (videos / "new.mp4").write_bytes(b"")
    with pytest.raises(
        ExtractionError, match=r"holds labels\.npy, which no extraction has written"
    ):
        extract(features_dir=out, videos_dir=videos, config=CONFIG)
    assert (out / "labels.npy").exists()


def test_a_part_without_a_clip_is_done(extract, videos, tmp_path):
    outcome = extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG, shard=(4, 8))
    assert (outcome.num_clips, outcome.num_failed) == (0, 0)
    assert not (tmp_path / "out").exists()


def test_parts_that_do_not_belong_together_are_refused(extract, videos, tmp_path):
    given = {"videos_dir": videos, "config": CONFIG}
    extract(features_dir=tmp_path / "parts", shard=(1, 3), **given)
    with pytest.raises(ExtractionError, match=r"holds shard-0001-of-0003, and a part of 2"):
        extract(features_dir=tmp_path / "parts", shard=(1, 2), **given)
    with pytest.raises(ExtractionError, match=r"holds shard-0001-of-0003, which no extraction"):
        extract(features_dir=tmp_path / "parts", **given)
    extract(features_dir=tmp_path / "whole", **given)
    with pytest.raises(ExtractionError, match="holds a whole extraction"):
        extract(features_dir=tmp_path / "whole", shard=(1, 2), **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "needs --videos_dir, or both"),
        ({"face_dir": "x"}, "--flow_dir is missing"),
        ({"flow_dir": "x"}, "--face_dir is missing"),
        ({"videos_dir": "x", "num_workers": 0}, "at least 1; got 0"),
        ({"videos_dir": "x", "shard": (3, 2)}, "got 3/2"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(tmp_path, given, words):
    with pytest.raises(ConfigError, match=words):
        extract_features(features_dir=tmp_path / "out", **given)


def test_two_extractions_do_not_write_to_one_directory(extract, videos, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        filelock.FileLock(tmp_path / "out" / ".lock"),
        pytest.raises(ExtractionError, match="another extraction is writing"),
    ):
        extract(features_dir=tmp_path / "out", videos_dir=videos, config=CONFIG)


def test_missing_packages_are_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_PACKAGES", ("av", "no_such_package"))
    with pytest.raises(ExtractionError, match=r"no_such_package.*'\.\[video\]'"):
        extract_features(features_dir=tmp_path / "out", videos_dir=tmp_path)


def test_features_made_on_ray_are_those_made_here(tmp_path, clips, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = {"videos_dir": clips[0].parent, "num_workers": 1}
    extract_features(features_dir=tmp_path / "ray", engine="ray", **options)
    monkeypatch.setattr(run_module, "run_tasks", run_in_this_process)
    extract_features(features_dir=tmp_path / "local", **options)
    here, on_ray = (load_feature_set(tmp_path / engine) for engine in ("local", "ray"))
    assert here.num_clips == on_ray.num_clips == len(clips)
    assert here.digest == on_ray.digest
