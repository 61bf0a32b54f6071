"""Clips are found wherever they lie, and joined by their names."""

import errno
import os
import unicodedata
from pathlib import Path

import pytest

from pipeline.core.errors import ExtractionError
from pipeline.extraction.sources import (
    FLOW_SUFFIXES,
    IMAGE_SUFFIXES,
    count_suffixes,
    find_folders,
    find_sources,
    find_videos,
    join_sources,
    source_group,
)


@pytest.fixture
def make(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return make


def test_videos_are_found_in_folders_and_named_by_their_files(make):
    root = make("b/x.001.mp4", "a/y.MKV", "z.webm", "notes.txt", "a/cover.jpg")
    assert {
        name: path.relative_to(root).as_posix() for name, path in find_videos(root).by_id.items()
    } == {
        "y.MKV": "a/y.MKV",
        "x.001.mp4": "b/x.001.mp4",
        "z.webm": "z.webm",
    }


def test_videos_that_share_a_name_are_named_by_their_paths(make):
    root = make("a/anna.1.mp4", "b/anna.1.mp4", "b/bert.2.mp4")
    assert list(find_videos(root).by_id) == ["a/anna.1.mp4", "b/anna.1.mp4", "bert.2.mp4"]


def test_where_a_name_without_a_source_is_there_twice_folders_are_the_groups_of_all(make):
    root = make("anna/1.mp4", "anna/talk.mp4", "bert/1.mp4", "bert/carl.3.mp4", "2.mp4")
    ids = list(find_videos(root).by_id)
    assert ids == ["2.mp4", "anna/1.mp4", "anna/talk.mp4", "bert/1.mp4", "carl.3.mp4"]
    assert [source_group(each) for each in ids] == ["2", "anna", "anna", "bert", "carl"]


@pytest.mark.parametrize(
    ("clip_id", "group"),
    [
        ("anna.000.mp4", "anna"),
        ("-AmM .003.mp4", "-AmM "),
        ("1.mp4", "1"),
        ("v1.0/anna.000.mp4", "anna"),
        ("v1.0/anna/1.mp4", "v1.0/anna"),
    ],
)
def test_a_clip_was_cut_from_what_its_name_says_or_else_its_folder(clip_id, group):
    assert source_group(clip_id) == group


def test_videos_that_differ_only_in_their_suffix_are_two_clips(make):
    root = make("v/a.mp4", "v/deep/a.mkv", "v/b.mp4", "f/a.mp4/1.png", "f/a.mkv/1.png", "f/b/1.png")
    sources, failed, _ = find_sources(root / "v", root / "f", None)
    assert failed == []
    assert {source.clip_id: source.face_dir.name for source in sources} == {
        "a.mkv": "a.mkv",
        "a.mp4": "a.mp4",
        "b.mp4": "b",
    }


def test_links_to_folders_are_followed_and_loops_end(make):
    root = make("data/a.mp4", "videos/b.mp4")
    (root / "videos" / "link").symlink_to(root / "data")
    (root / "data" / "loop").symlink_to(root / "videos")
    assert sorted(find_videos(root / "videos").by_id) == ["a.mp4", "b.mp4"]


def test_a_folder_that_cannot_be_looked_into_is_listed(make, monkeypatch):
    root = make("a.mp4", "locked/b.mp4")
    look = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    sources, (failure,), _ = find_sources(root, None, None)
    assert [source.clip_id for source in sources] == ["a.mp4"]
    assert failure.clip_id == str(root / "locked")
    assert failure.reason == "cannot be read (Permission denied)"


def test_hidden_files_and_folders_are_left_out(make):
    assert list(find_videos(make(".cache/a.mp4", "._b.mp4", "c.mp4")).by_id) == ["c.mp4"]


def test_what_an_extraction_wrote_below_its_sources_is_no_clip(make):
    root = make("a/1.npy", "out/.units/00/1.npz", "out/static.npy", "out/b/1.npy")
    assert list(find_folders(root, FLOW_SUFFIXES).by_id) == ["a", "b"]


def test_names_may_hold_spaces_dashes_and_any_script(make):
    names = ["-AmM .003.mp4", "лицо.mp4", "顔 1.mp4", "a'b\"c;$(x).mp4"]
    assert sorted(find_videos(make(*names)).by_id) == sorted(names)


@pytest.mark.parametrize("suffix", ["wmv", "flv", "ts", "3gp", "mts", "m2ts", "ogv", "mpg", "MTS"])
def test_videos_of_any_usual_suffix_are_found(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(b"G@\0\x10" + bytes(184))
    assert list(find_videos(tmp_path).by_id) == [f"a.{suffix}"]


@pytest.mark.parametrize("name", ["a.ts", "a.mts"])
def test_a_program_with_the_suffix_of_a_transport_stream_is_no_video(make, name):
    root = make("b.mp4")
    (root / name).write_text("export const a: number = 1;\n")
    _, failed, left_out = find_sources(root, None, None)
    assert failed == []
    assert [(each.clip_id, each.stage) for each in left_out] == [(str(root / name), "suffix")]


def test_a_transport_stream_that_is_empty_is_a_clip_that_will_fail(tmp_path):
    (tmp_path / "a.ts").touch()
    assert list(find_videos(tmp_path).by_id) == ["a.ts"]


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.ts")
    assert list(find_videos(tmp_path).by_id) == ["a.ts"]


def test_files_that_are_not_used_are_listed(make):
    root = make("a.mp4", "README", "b/notes.txt", ".hidden.txt", "c.xyz")
    _, failed, left_out = find_sources(root, None, None)
    assert failed == []
    names = [Path(each.clip_id).relative_to(root).as_posix() for each in left_out]
    assert names == ["README", "b/notes.txt", "c.xyz"]


def test_files_that_another_directory_uses_are_not_listed(make):
    root = make("a.mp4", "a/1.png", "a/1.npy", "a/1.json", "2.png")
    sources, _, left_out = find_sources(root, root, root)
    assert [source.clip_id for source in sources] == ["a.mp4"]
    names = [Path(each.clip_id).relative_to(root).as_posix() for each in left_out]
    assert names == ["2.png", "a/1.json"]


def test_a_message_counts_only_the_most_frequent_suffixes():
    names = ["a.txt", "b.TXT", *(f"c.{number}" for number in range(9))]
    assert count_suffixes(names) == "2 .txt, 1 .0, 1 .1, 1 .2, 1 .3, 5 others"
    assert count_suffixes(["README"]) == "1 without a suffix"


@pytest.mark.parametrize("name", ["none", "a.mp4"])
def test_a_directory_that_is_none_is_refused(make, name):
    with pytest.raises(ExtractionError, match="expected a directory"):
        find_videos(make("a.mp4") / name)


def test_a_directory_without_videos_is_refused_with_the_suffixes_that_count(make):
    with pytest.raises(ExtractionError, match=r"holds no video \(\.3g2, .*\); found 2 \.txt\."):
        find_videos(make("a.txt", "b.TXT"))


def test_a_folder_of_images_is_a_clip(make):
    root = make("faces/v.001/face_1.jpg", "faces/w/deep/1.TIF", "faces/x")
    folders = find_folders(root / "faces", IMAGE_SUFFIXES)
    assert sorted(folders.by_id) == ["deep", "v.001"]


def test_images_that_lie_loose_are_no_clip(make):
    with pytest.raises(ExtractionError, match="one folder for each clip"):
        find_folders(make("a.png"), IMAGE_SUFFIXES)


def test_what_there_is_of_a_clip_is_joined_with_or_without_its_suffix(make):
    root = make("v/a.001.mp4", "f/a.001/1.png", "o/a.001.mp4/1.npy")
    sources, failed, _ = find_sources(root / "v", root / "f", root / "o")
    (source,) = sources
    assert failed == []
    assert source.clip_id == "a.001.mp4"
    assert source.video == root / "v" / "a.001.mp4"
    assert source.face_dir == root / "f" / "a.001"
    assert source.flow_dir == root / "o" / "a.001.mp4"


def test_a_clip_of_which_a_part_is_missing_is_listed(make):
    root = make("f/a/1.png", "f/b/1.png", "o/b/1.npy", "o/c/1.npy")
    sources, failed, _ = find_sources(None, root / "f", root / "o")
    assert [source.clip_id for source in sources] == ["b"]
    assert sorted(result.clip_id for result in failed) == ["a", "c"]
    assert {result.stage for result in failed} == {"open"}


def test_directories_that_share_no_clip_are_refused(make):
    root = make("f/a/1.png", "o/c/1.npy")
    with pytest.raises(ExtractionError, match="none of 2 clips can be used"):
        find_sources(None, root / "f", root / "o")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_a_name_that_is_no_text_is_listed(make):
    root = make("a.mp4")
    (root / os.fsdecode(b"b\xff.mp4")).write_bytes(b"x")
    sources, failed, _ = find_sources(root, None, None)
    assert [source.clip_id for source in sources] == ["a.mp4"]
    assert [(result.clip_id, result.stage) for result in failed] == [("b\ufffd.mp4", "name")]


@pytest.mark.skipif(os.name != "posix", reason="such names are POSIX's")
def test_a_name_that_no_table_can_hold_is_listed_in_one_line(make):
    root = make("a.mp4", "cr\rname.mp4", "new\nline.mp4", " .mp4")
    sources, failed, _ = find_sources(root, None, None)
    assert [source.clip_id for source in sources] == ["a.mp4"]
    control = "the name holds a control character, such as the end of a line"
    assert {result.clip_id: result.reason for result in failed} == {
        "cr\\x0dname.mp4": control,
        "new\\x0aline.mp4": control,
        ".mp4": "the name is blank before its first dot",
    }


def test_the_order_is_that_of_the_ids(make):
    root = make("b/1.mp4", "a/2.mp4")
    assert [source.clip_id for source in find_sources(root, None, None)[0]] == ["1.mp4", "2.mp4"]


def test_one_kind_of_source_is_enough_for_a_join():
    assert join_sources(videos={}, face_dirs=None, flow_dirs=None) == ([], [])
    assert {".npy"} == FLOW_SUFFIXES


@pytest.mark.skipif(os.name != "posix", reason="other systems change such names")
def test_ids_are_composed_and_names_that_look_alike_are_refused(make):
    composed, decomposed = (unicodedata.normalize(form, "é.000.mp4") for form in ("NFC", "NFD"))
    root = make(decomposed)
    (source,), _, _ = find_sources(root, None, None)
    assert (source.clip_id, source.video) == (composed, root / decomposed)
    (root / composed).touch()
    with pytest.raises(ExtractionError, match="whose names look alike"):
        find_sources(root, None, None)
