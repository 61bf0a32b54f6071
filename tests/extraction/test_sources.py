"""Clips are found in folders, and their files are joined by name."""

import errno
import os
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import ExtractionError
from pipeline.core.traits import TRAITS
from pipeline.data.join import join_labels
from pipeline.data.readers.annotations import read_labels
from pipeline.extraction.sources import (
    FLOW_SUFFIXES,
    IMAGE_SUFFIXES,
    clip_path,
    count_suffixes,
    find_folders,
    find_sources,
    find_videos,
    select_annotated,
)
from pipeline.extraction.tasks import ClipSource


@pytest.fixture
def make(tmp_path):
    """Return a function that creates small files and returns their common directory."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return make


def ids(sources):
    return [source.clip_id for source in sources]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            ["b/x.001.mp4", "a/y.MKV", "z.webm", "notes.txt", "a/cover.jpg"],
            {"y.MKV": "a/y.MKV", "x.001.mp4": "b/x.001.mp4", "z.webm": "z.webm"},
        ),
        (
            ["a/anna.1.mp4", "b/anna.1.mp4", "b/bert.2.mp4"],
            {
                "a/anna.1.mp4": "a/anna.1.mp4",
                "b/anna.1.mp4": "b/anna.1.mp4",
                "bert.2.mp4": "b/bert.2.mp4",
            },
        ),
        ([".cache/a.mp4", "._b.mp4", "c.mp4"], {"c.mp4": "c.mp4"}),
        (["-AmM .003.mp4", "顔 1.mp4"], {"-AmM .003.mp4": "-AmM .003.mp4", "顔 1.mp4": "顔 1.mp4"}),
    ],
    ids=["unique names", "equal names", "hidden files", "special characters"],
)
def test_the_id_of_a_video_is_its_file_name_or_path(make, files, expected):
    root = make(*files)
    found = find_videos(root).by_id
    assert {name: path.relative_to(root).as_posix() for name, path in found.items()} == expected


def test_the_path_of_a_clip_is_below_the_directory_that_contains_it(make):
    root = make("videos/anna/1.mp4", "faces/ben/1/0.png")
    video = ClipSource(clip_id="1", video=root / "videos/anna/1.mp4")
    faces = ClipSource(clip_id="1", face_dir=root / "faces/ben/1")
    directories = (root / "videos", root / "faces", None)
    assert clip_path(video, *directories) == "anna/1.mp4"
    assert clip_path(faces, *directories) == "ben/1"


def test_videos_with_different_suffixes_are_different_clips(make):
    root = make("v/a.mp4", "v/deep/a.mkv", "v/b.mp4", "f/a.mp4/1.png", "f/a.mkv/1.png", "f/b/1.png")
    sources, failed, _ = find_sources(root / "v", root / "f", None)
    assert failed == []
    assert {source.clip_id: source.face_dir.name for source in sources} == {
        "a.mkv": "a.mkv",
        "a.mp4": "a.mp4",
        "b.mp4": "b",
    }


def test_links_to_folders_are_followed_once(make):
    root = make("data/a.mp4", "videos/b.mp4")
    (root / "videos" / "link").symlink_to(root / "data")
    (root / "data" / "loop").symlink_to(root / "videos")
    assert sorted(find_videos(root / "videos").by_id) == ["a.mp4", "b.mp4"]


def test_an_unreadable_folder_is_listed(make, monkeypatch):
    root = make("a.mp4", "locked/b.mp4")
    scan = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    sources, (failure,), _ = find_sources(root, None, None)
    assert ids(sources) == ["a.mp4"]
    assert failure.clip_id == str(root / "locked")
    assert "Permission denied" in failure.reason


def test_the_output_of_an_extraction_is_not_a_clip(make):
    root = make("a/1.npy", "out/.units/00/1.npz", "out/static.npy", "out/b/1.npy")
    assert list(find_folders(root, FLOW_SUFFIXES).by_id) == ["a", "b"]


@pytest.mark.parametrize("name", ["a.ts", "a.mts"])
def test_a_typescript_file_is_not_a_video(make, name):
    root = make("b.mp4")
    (root / name).write_text("export const a: number = 1;\n")
    _, failed, unused = find_sources(root, None, None)
    assert failed == []
    assert [(each.clip_id, each.stage) for each in unused] == [(str(root / name), "suffix")]


@pytest.mark.parametrize("create", [Path.touch, os.mkfifo])
def test_an_empty_transport_stream_or_pipe_is_a_clip(tmp_path, create):
    create(tmp_path / "a.ts")
    assert list(find_videos(tmp_path).by_id) == ["a.ts"]


def test_unused_files_are_listed(make):
    root = make("a.mp4", "a/1.png", "a/1.npy", "a/1.json", "2.png", ".hidden.txt", "README")
    sources, failed, unused = find_sources(root, root, root)
    assert ids(sources) == ["a.mp4"]
    assert failed == []
    unused_paths = [Path(each.clip_id).relative_to(root).as_posix() for each in unused]
    assert unused_paths == ["2.png", "README", "a/1.json"]


def test_only_the_most_frequent_suffixes_are_counted():
    names = ["a.txt", "b.TXT", *(f"c.{number}" for number in range(9))]
    assert count_suffixes(names) == "2 .txt, 1 .0, 1 .1, 1 .2, 1 .3, 5 others"
    assert count_suffixes(["README"]) == "1 without a suffix"


@pytest.mark.parametrize(
    ("find", "message"),
    [
        (lambda root: find_videos(root / "none"), "none: must be a directory, but does not exist"),
        (lambda root: find_videos(root / "a.txt"), "a.txt: must be a directory, but is a file"),
        (find_videos, r"contains no video \(\.3g2, .*\); found 2 \.txt, 1 \.png\."),
        (lambda root: find_folders(root, IMAGE_SUFFIXES), "one folder for each clip"),
        (lambda root: find_sources(None, root / "f", root / "o"), "none of 2 clips can be used"),
    ],
    ids=["missing", "a file", "no video", "images without folders", "no common clip"],
)
def test_a_directory_without_clips_is_an_error(make, find, message):
    names = ["f/a/1.png", "o/c/1.npy"] if message.startswith("none of") else ["a.png"]
    with pytest.raises(ExtractionError, match=message):
        find(make("a.txt", "b.TXT", *names))


def test_files_of_a_clip_are_joined_with_or_without_suffix(make):
    root = make("v/a.001.mp4", "f/a.001/1.png", "o/a.001.mp4/1.npy")
    (source,), failed, _ = find_sources(root / "v", root / "f", root / "o")
    assert failed == []
    assert source == ClipSource(
        clip_id="a.001.mp4",
        video=root / "v" / "a.001.mp4",
        face_dir=root / "f" / "a.001",
        flow_dir=root / "o" / "a.001.mp4",
    )


def test_an_incomplete_clip_is_listed(make):
    root = make("f/a/1.png", "f/b/1.png", "o/b/1.npy", "o/c/1.npy")
    sources, failed, _ = find_sources(None, root / "f", root / "o")
    assert ids(sources) == ["b"]
    assert sorted((result.clip_id, result.stage) for result in failed) == [
        ("a", "open"),
        ("c", "open"),
    ]


def test_an_unusable_name_is_listed_in_one_line(make):
    root = make("a.mp4", "cr\rname.mp4", "new\nline.mp4", " .mp4")
    (root / os.fsdecode(b"b\xff.mp4")).write_bytes(b"x")
    sources, failed, _ = find_sources(root, None, None)
    assert ids(sources) == ["a.mp4"]
    assert {result.stage for result in failed} == {"name"}
    reasons = {result.clip_id: result.reason for result in failed}
    assert reasons.keys() == {"cr\\x0dname.mp4", "new\\x0aline.mp4", ".mp4", "b\ufffd.mp4"}
    assert "control character" in reasons["cr\\x0dname.mp4"]
    assert "blank" in reasons[".mp4"]
    assert "UTF-8" in reasons["b\ufffd.mp4"]


def test_ids_are_composed_and_names_that_look_alike_are_an_error(make):
    composed, decomposed = (unicodedata.normalize(form, "é.000.mp4") for form in ("NFC", "NFD"))
    root = make(decomposed)
    (source,), _, _ = find_sources(root, None, None)
    assert (source.clip_id, source.video) == (composed, root / decomposed)
    (root / composed).touch()
    with pytest.raises(ExtractionError, match="look alike"):
        find_sources(root, None, None)


@pytest.fixture
def annotations(tmp_path):
    table = {"clip_id": ["a.mp4", "b", "unused"], **{key: [0.1, 0.2, 0.3] for key in TRAITS}}
    pd.DataFrame(table).to_csv(tmp_path / "labels.csv", index=False)
    return read_labels([tmp_path / "labels.csv"])


def named(*clip_ids):
    return [ClipSource(clip_id=clip_id) for clip_id in clip_ids]


def selected(sources, annotations):
    return select_annotated(sources, join_labels(annotations, ids(sources)))


def test_clips_without_annotation_are_failures(annotations):
    labelled, failed = selected(named("a.mp4", "b.mp4", "x.mp4"), annotations)
    assert ids(labelled) == ["a.mp4", "b.mp4"]
    assert [(result.clip_id, result.stage) for result in failed] == [("x.mp4", "annotation")]


@pytest.mark.parametrize(
    ("clip_id", "message"),
    [
        ("x.mp4", r"none of the 1 clips is annotated\. .*x\.mp4"),
        ("Unused.mp4", r"first is 'Unused\.mp4'.*'unused'"),
    ],
)
def test_annotations_of_other_clips_are_an_error(annotations, clip_id, message):
    with pytest.raises(ExtractionError, match=message):
        selected(named(clip_id), annotations)
