"""A cache file is used again only for the same clip and settings."""

import dataclasses
import os

import numpy as np
import pytest

from pipeline.extraction.clip_cache import (
    cache_path,
    clip_fingerprint,
    is_cached,
    read_cached_clip,
    write_cached_clip,
)
from pipeline.extraction.tasks import ClipSource, Task


@pytest.fixture
def task(tmp_path):
    source = ClipSource(clip_id="a.mp4")
    return Task(source=source, path=tmp_path / "x" / "a.npz", fingerprint="f")


@pytest.fixture
def cached(task, make_features):
    write_cached_clip(task, make_features())
    return task


def test_cached_features_are_read_unchanged(task, make_features):
    strip = np.full((4, 5, 3), 7, dtype=np.uint8)
    features = make_features(warnings=["frames cover 60%"], strip=strip)
    write_cached_clip(task, features)
    found = read_cached_clip(task.path)
    for name in ("static", "static_mask", "dynamic", "dynamic_mask", "seconds", "boxes", "strip"):
        np.testing.assert_array_equal(getattr(found, name), getattr(features, name))
    assert found.quality == features.quality
    assert found.warnings == features.warnings
    assert [file.name for file in task.path.parent.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"fingerprint": "g"}, False), ({"with_strip": True}, False)],
)
def test_a_file_is_used_if_fingerprint_and_strip_match(cached, changes, expected):
    assert is_cached(dataclasses.replace(cached, **changes)) is expected
    assert read_cached_clip(cached.path).strip is None


def with_damaged_array(content):
    start = content.index(b"static.npy") + 160  # after its headers
    return content[:start] + b"\xff" * 8 + content[start + 8 :]


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda _: b"PK no archive", lambda content: content[:-200], with_damaged_array],
    ids=["empty", "no archive", "cut", "damaged"],
)
def test_a_broken_file_is_not_used(cached, damage):
    cached.path.write_bytes(damage(cached.path.read_bytes()))
    assert not is_cached(cached)


def test_the_fingerprint_depends_on_settings_and_files(tmp_path, make_sources):
    (source,) = make_sources("a.mp4")
    first = clip_fingerprint(source, {"a": 1})
    assert clip_fingerprint(source, {"a": 1}) == first
    assert clip_fingerprint(source, {"a": 2}) != first
    os.utime(source.video, ns=(0, 12345))
    assert clip_fingerprint(source, {"a": 1}) != first
    folder = ClipSource(clip_id="a", face_dir=tmp_path)
    first = clip_fingerprint(folder, {})
    (tmp_path / "1.png").write_bytes(b"x")
    assert clip_fingerprint(folder, {}) != first


def test_the_fingerprint_is_equal_on_every_machine(make_sources):
    (source,) = make_sources("a.mp4")
    os.utime(source.video, ns=(0, 12345))
    expected = "9aaf2bc8f698c7264dd6f499173441ddb952300d80dd06d29b1e14c7ae09b10a"
    assert clip_fingerprint(source, {"a": 1, "b": {"c": 0.5}}) == expected


@pytest.mark.parametrize("clip_id", ["../../etc/x.mp4", "/abs.mp4", "a\x00b", "顔.mp4", "x" * 400])
def test_every_cache_file_is_inside_the_cache(tmp_path, clip_id):
    path = cache_path(tmp_path, clip_id)
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert len(path.name) < 40
    assert path != cache_path(tmp_path, "a")
