"""Complete and continued extractions, and invalid requests."""

import csv
import shutil

import filelock
import numpy as np
import pandas as pd
import pytest

from pipeline.config.extraction import ExtractionConfig, FacesConfig, SamplingConfig
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set
from pipeline.data.readers.label_table import LabelOptions
from pipeline.extraction import run as run_module
from pipeline.extraction.run import extract_features
from pipeline.extraction.worker import build_work
from tests.extraction.drawn_videos import draw_frames, write_video

pytestmark = pytest.mark.slow

CONFIG = ExtractionConfig(sampling=SamplingConfig(num_steps=4), num_shown=2)


def run_in_this_process(job, tasks, **_):
    return map(build_work(job), tasks)  # starting worker processes takes long


@pytest.fixture
def videos(tmp_path, face_frames):
    folder = tmp_path / "videos"
    (folder / "part 1").mkdir(parents=True)
    write_video(folder / "part 1" / "anna.000.mp4", face_frames[:24])
    write_video(folder / "part 1" / "anna.001.mp4", face_frames[24:])
    write_video(folder / "берт 1.000.mkv", face_frames[:12])
    return folder


@pytest.fixture
def extract(monkeypatch, videos, tmp_path):
    """Return a function that extracts `videos` to `out`, unless other options are given."""
    monkeypatch.setattr(run_module, "run_tasks", run_in_this_process)

    def extract(**options):
        defaults = {"videos_dir": videos, "features_dir": tmp_path / "out", "config": CONFIG}
        return extract_features(**{**defaults, **options})

    return extract


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def counts(outcome):
    return outcome.num_done, outcome.num_skipped, len(outcome.failed)


def read_failures(outcome):
    with outcome.failures_path.open(encoding="utf-8", newline="") as file:
        return {row["clip_id"]: row for row in csv.DictReader(file)}


def test_videos_become_a_feature_set(extract, out):
    outcome = extract()
    features = load_feature_set(out)
    assert features.clip_ids.tolist() == ["anna.000.mp4", "anna.001.mp4", "берт 1.000.mkv"]
    assert features.groups.tolist() == ["anna", "anna", "берт 1"]
    assert features.streams["static"].shape == (3, 4, 512)
    assert features.streams["dynamic"].shape == (3, 4, 256)
    assert features.has_groups
    times = features.seconds["static"].read(np.arange(3))
    mask = features.streams["static"].read_mask(np.arange(3))
    np.testing.assert_array_equal(np.isfinite(times), mask)
    assert all((np.diff(row[seen]) > 0).all() for row, seen in zip(times, mask, strict=True))
    assert features.labels is None
    assert counts(outcome) == (3, 0, 0)
    assert outcome.num_clips == 3
    assert outcome.contact_sheet_path.stat().st_size > 1000
    assert read_failures(outcome) == {}


def test_a_second_run_does_nothing(extract, out, monkeypatch):
    extract()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.np[yz]")}
    monkeypatch.setattr(run_module, "run_tasks", None)  # must not be called
    assert counts(extract()) == (0, 3, 0)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_stopped_extraction_is_continued(extract, out, tmp_path):
    whole = extract(features_dir=tmp_path / "whole")
    out.mkdir()
    shutil.copytree(whole.features_dir / ".units", out / ".units")
    next((out / ".units").glob("*/*.npz")).unlink()
    assert counts(extract()) == (1, 2, 0)
    assert load_feature_set(out).digest == load_feature_set(whole.features_dir).digest


@pytest.mark.parametrize("name", ["static.npy", "clips.csv", "contact_sheet.png"])
def test_a_deleted_file_is_written_again(extract, out, name):
    extract()
    before = load_feature_set(out).digest
    (out / name).unlink()
    assert counts(extract()) == (0, 3, 0)
    assert (out / name).stat().st_size > 0
    assert load_feature_set(out).digest == before


def test_later_clips_replace_failed_clips_on_the_contact_sheet(extract, videos, tmp_path):
    for number in range(3):
        (videos / f"0{number}.mp4").write_bytes(b"")
    one_group_per_clip = "regex:(.+)"
    outcome = extract(groups=one_group_per_clip)
    assert counts(outcome) == (3, 0, 3)
    whole = extract(
        features_dir=tmp_path / "whole", videos_dir=videos / "part 1", groups=one_group_per_clip
    )
    assert whole.contact_sheet_path.read_bytes() == outcome.contact_sheet_path.read_bytes()


def test_new_failed_and_changed_clips_are_extracted(extract, out, videos, face_frames):
    (videos / "failed.mp4").write_bytes(b"")
    extract()
    before = load_feature_set(out).streams["static"].read(np.arange(3))
    for name in ("failed.mp4", "new.000.mp4"):
        write_video(videos / name, face_frames[:12])
    write_video(videos / "part 1" / "anna.000.mp4", face_frames[::-2])
    assert counts(extract()) == (3, 2, 0)
    features = load_feature_set(out)
    rows = [features.clip_ids.tolist().index(name) for name in ("anna.000.mp4", "anna.001.mp4")]
    after = features.streams["static"].read(np.array(rows))
    assert not np.allclose(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_features_with_other_settings_are_not_mixed(extract, out):
    extract()
    other = ExtractionConfig(
        sampling=SamplingConfig(num_steps=4), faces=FacesConfig(crop_px=96), num_shown=2
    )
    with pytest.raises(ExtractionError, match=r"faces\.crop_px was 112 and is 96"):
        extract(config=other)
    (out / "features.json").unlink()  # as in an unfinished extraction
    assert counts(extract(config=other)) == (3, 0, 0)


def test_a_feature_set_is_not_replaced_by_other_clips(extract, tmp_path, face_frames):
    extract()
    other = tmp_path / "other"
    other.mkdir()
    write_video(other / "carl.000.mp4", face_frames[:12])
    with pytest.raises(ExtractionError, match="contains 3 clips that are not among"):
        extract(videos_dir=other)


def test_failed_clips_and_unused_files_are_listed(
    extract, out, videos, tmp_path, face_frames, caplog
):
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "text.avi").write_text("no video")
    write_video(videos / "nobody.mp4", draw_frames(20))
    write_video(videos / "one frame.mp4", face_frames[:1])
    (videos / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (videos / "notes.txt").write_text("x")
    outcome = extract()
    assert outcome.num_clips == load_feature_set(out).num_clips == 3
    assert {name: row["stage"] for name, row in read_failures(outcome).items()} == {
        "empty.mp4": "open",
        "text.avi": "open",
        "gone.mp4": "open",
        "nobody.mp4": "face",
        "one frame.mp4": "decode",
        str(videos / "notes.txt"): "suffix",
    }
    assert "ignored files: 1 .txt. They are listed in failures.csv." in caplog.text


def test_annotations_become_labels(extract, out, tmp_path):
    scores = {"clip_id": ["anna.000.mp4", "anna.001.mp4"], **{key: [0.25, 0.75] for key in TRAITS}}
    pd.DataFrame(scores).to_csv(tmp_path / "labels.csv", index=False)
    outcome = extract(annotations=[tmp_path / "labels.csv"])
    features = load_feature_set(out)
    np.testing.assert_allclose(features.labels[:, 2], [0.25, 0.75])
    assert read_failures(outcome)["берт 1.000.mkv"]["stage"] == "annotation"
    assert "labels.csv" in features.metadata["annotations"]


def test_groups_subsets_and_unmatched_names_come_from_the_annotations(extract, out, tmp_path):
    table = {
        "Video": ["anna.000", "anna.001.mp4", "берт 1.000", "other.000"],
        **{key[0].upper(): [1, 5, 3, 2] for key in TRAITS},
        "group": ["anna", "anna", "бepт", "x"],
        "Subset": ["train", "train", "test", "test"],
    }
    pd.DataFrame(table).to_csv(tmp_path / "labels.csv", index=False, sep=";")
    lines = []
    options = LabelOptions.parse(label_range="1,5")
    annotations = [tmp_path / "labels.csv"]
    extract(annotations=annotations, label_options=options, report=lines.append)
    features = load_feature_set(out)
    np.testing.assert_allclose(features.labels[:, 2], [0.0, 1.0, 0.5])
    assert features.groups.tolist() == ["anna", "anna", "бepт"]
    assert features.split_column.tolist() == ["train", "train", "test"]
    assert features.traits[0].label_range == (1.0, 5.0)
    assert "3 clips in 2 groups" in lines[0]
    unmatched = pd.read_csv(out / "unmatched.csv")
    assert unmatched["clip_id"].tolist() == ["other.000"]


def test_groups_that_were_changed_by_hand_are_kept_and_reported(extract, out):
    extract()
    table = pd.read_csv(out / "clips.csv", dtype=str, keep_default_na=False)
    table.assign(group="zoe").to_csv(out / "clips.csv", index=False)
    lines = []
    extract(report=lines.append)
    assert load_feature_set(out).groups.tolist() == ["zoe"] * 3
    assert lines[-1].endswith("groups were changed by hand and are kept. 3 clips in 1 group.")


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("", ["anna", "anna", "берт 1"]),
        ("prefix", ["anna", "anna", "берт 1"]),
        (r"regex:\d", ["1", "1", "1"]),
        ("groups.csv", ["p1", "p2", "p2"]),
    ],
)
def test_groups_are_assigned_by_a_rule_or_a_table(
    extract, out, tmp_path, monkeypatch, groups, expected
):
    monkeypatch.chdir(tmp_path)
    text = "clip_id,group\nanna.000,p1\nanna.001,p2\nберт 1.000,p2\n"
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8")
    extract(groups=groups)
    assert load_feature_set(out).groups.tolist() == expected


def test_all_shards_are_one_feature_set(extract, out, tmp_path):
    one = load_feature_set(extract(features_dir=tmp_path / "whole").features_dir)
    for number in (1, 2):
        extract(shard=(number, 2))
    sharded = load_feature_set(out)
    assert sorted(sharded.clip_ids) == sorted(one.clip_ids)
    assert sharded.metadata["encoder"] == one.metadata["encoder"]


def test_a_shard_without_clips_is_complete(extract, out):
    outcome = extract(shard=(4, 8))
    assert (outcome.num_clips, outcome.failed) == (0, ())
    assert not out.exists()


def test_incompatible_shards_are_an_error(extract, out, tmp_path):
    extract(shard=(1, 3))
    with pytest.raises(ExtractionError, match=r"contains shard-0001-of-0003\. With 2 shards"):
        extract(shard=(1, 2))
    with pytest.raises(ExtractionError, match=r"contains shard-0001-of-0003, which was not"):
        extract()
    whole = extract(features_dir=tmp_path / "whole").features_dir
    with pytest.raises(ExtractionError, match="contains an extraction without shards"):
        extract(features_dir=whole, shard=(1, 2))


def test_added_labels_are_not_removed(extract, videos, out):
    extract()
    np.save(out / "labels.npy", np.full((3, 5), 0.5, dtype=np.float32))
    (videos / "new.mp4").write_bytes(b"")
    with pytest.raises(ExtractionError, match=r"contains labels\.npy, which was not"):
        extract()
    assert (out / "labels.npy").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs --videos_dir, or both"),
        ({"face_dir": "x"}, "--flow_dir is missing"),
        ({"flow_dir": "x"}, "--face_dir is missing"),
        ({"videos_dir": "x", "num_workers": 0}, "at least 1; got 0"),
        ({"videos_dir": "x", "shard": (3, 2)}, "got 3/2"),
    ],
)
def test_invalid_options_are_an_error(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        extract_features(features_dir=tmp_path / "out", **options)


def test_two_extractions_cannot_write_to_one_directory(extract, out):
    out.mkdir()
    with (
        filelock.FileLock(out / ".lock"),
        pytest.raises(ExtractionError, match="another extraction is writing"),
    ):
        extract()


def test_missing_packages_are_an_error_with_a_fix(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_PACKAGES", ("av", "no_such_package"))
    with pytest.raises(ExtractionError, match=r"no_such_package.*'\.\[video\]'"):
        extract_features(features_dir=tmp_path / "out", videos_dir=tmp_path)


def test_ray_gives_the_same_features(tmp_path, clips, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = {"videos_dir": clips[0].parent, "num_workers": 1}
    extract_features(features_dir=tmp_path / "ray", engine="ray", **options)
    monkeypatch.setattr(run_module, "run_tasks", run_in_this_process)
    extract_features(features_dir=tmp_path / "local", **options)
    local, on_ray = (load_feature_set(tmp_path / engine) for engine in ("local", "ray"))
    assert local.num_clips == on_ray.num_clips == len(clips)
    assert local.digest == on_ray.digest
