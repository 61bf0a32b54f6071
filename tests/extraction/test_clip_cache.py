"""The file of a clip is used again only for the same clip and the same settings."""

import os

import numpy as np
import pytest

from pipeline.extraction.clip import ClipFeatures
from pipeline.extraction.clip_cache import fingerprint, is_done, read_unit, unit_path, write_unit
from pipeline.extraction.sources import ClipSource


@pytest.fixture
def features():
    return ClipFeatures(
        static=np.arange(6, dtype=np.float32).reshape(2, 3),
        static_mask=np.array([True, False]),
        dynamic=np.ones((2, 2), dtype=np.float32),
        dynamic_mask=np.array([True, False]),
        seconds=np.array([0.5, np.nan]),
        boxes=np.zeros((2, 4)),
        quality={"sharpness": 1.5, "variable_rate": False},
        warnings=["frames cover 60%"],
        strip=np.full((4, 5, 3), 7, dtype=np.uint8),
    )


@pytest.fixture
def source(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"content")
    return ClipSource(clip_id="a.mp4", video=tmp_path / "a.mp4")


def test_what_is_written_is_read_back(tmp_path, features):
    path = tmp_path / "x" / "a.npz"
    write_unit(path, features, made_with="f")
    back = read_unit(path)
    for name in ("static", "static_mask", "dynamic", "dynamic_mask", "seconds", "boxes", "strip"):
        np.testing.assert_array_equal(getattr(back, name), getattr(features, name))
    assert back.quality == features.quality
    assert back.warnings == features.warnings
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_a_file_is_used_for_its_fingerprint_only(tmp_path, features):
    path = tmp_path / "a.npz"
    write_unit(path, features, made_with="f")
    assert is_done(path, made_with="f", needs_strip=True)
    assert not is_done(path, made_with="g", needs_strip=True)


def test_a_clip_that_is_to_be_shown_is_made_again_if_its_strip_is_missing(tmp_path, features):
    import dataclasses

    path = tmp_path / "a.npz"
    write_unit(path, dataclasses.replace(features, strip=None), made_with="f")
    assert is_done(path, made_with="f", needs_strip=False)
    assert not is_done(path, made_with="f", needs_strip=True)
    assert read_unit(path).strip is None


@pytest.mark.parametrize("content", [b"", b"PK no archive", None])
def test_a_file_that_is_broken_or_missing_is_made_again(tmp_path, content):
    path = tmp_path / "a.npz"
    if content is not None:
        path.write_bytes(content)
    assert not is_done(path, made_with="f", needs_strip=False)


def test_a_file_that_is_cut_is_made_again(tmp_path, features):
    path = tmp_path / "a.npz"
    write_unit(path, features, made_with="f")
    path.write_bytes(path.read_bytes()[:-200])
    assert not is_done(path, made_with="f", needs_strip=False)


def test_a_file_with_a_hole_is_made_again(tmp_path, features):
    path = tmp_path / "a.npz"
    write_unit(path, features, made_with="f")
    content = bytearray(path.read_bytes())
    start = content.index(b"static.npy") + 160  # behind its headers
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert not is_done(path, made_with="f", needs_strip=False)


def test_the_fingerprint_hangs_on_settings_and_on_the_file(source):
    first = fingerprint(source, {"a": 1})
    assert fingerprint(source, {"a": 1}) == first
    assert fingerprint(source, {"a": 2}) != first
    os.utime(source.video, ns=(0, 12345))
    assert fingerprint(source, {"a": 1}) != first


def test_the_fingerprint_of_a_folder_hangs_on_what_it_holds(tmp_path):
    source = ClipSource(clip_id="a", face_dir=tmp_path)
    first = fingerprint(source, {})
    (tmp_path / "1.png").write_bytes(b"x")
    assert fingerprint(source, {}) != first


@pytest.mark.parametrize("clip_id", ["../../etc/x.mp4", "/abs.mp4", "a\x00b", "顔.mp4", "x" * 400])
def test_no_id_leads_out_of_the_directory(tmp_path, clip_id):
    path = unit_path(tmp_path, clip_id)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert len(path.name) < 40


def test_ids_have_files_of_their_own(tmp_path):
    assert unit_path(tmp_path, "a") != unit_path(tmp_path, "b")
