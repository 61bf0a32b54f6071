import errno
import json
import math
import os
import resource
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.core.files import (
    atomic_path,
    disk_error,
    disk_errors_named,
    file_hash,
    read_arrays,
    read_json,
    read_sealed_json,
    remove_unfinished,
    why_unwritable,
    write_arrays,
    write_json,
    write_sealed_json,
    write_text,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An existing file."""
    path = tmp_path / "note.txt"
    path.write_text("old", encoding="utf-8")
    return path


class TestAtomicPath:
    def test_the_target_changes_after_the_block(self, target):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            temporary.write_text("new")
            assert target.read_text() == "old"
        assert target.read_text() == "new"

    @pytest.mark.parametrize("place", ["block", "rename"])
    def test_an_error_leaves_the_target_and_no_other_file(self, target, monkeypatch, place):
        def fail(*_):
            raise OSError("the disk is gone")

        def write_half():
            with atomic_path(target) as temporary:
                temporary.write_text("half")
                if place == "block":
                    fail()

        if place == "rename":
            monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="the disk is gone"):
            write_half()
        assert target.read_text() == "old"
        assert list(target.parent.iterdir()) == [target]

    def test_a_directory_in_place_of_the_file_is_an_error(self, tmp_path):
        (tmp_path / "report.csv").mkdir()
        with pytest.raises(IsADirectoryError) as error:
            write_text(tmp_path / "report.csv", "")
        assert error.value.filename == str(tmp_path / "report.csv")
        assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]

    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("model.keras", ".keras"),
            ("model.weights.h5", ".weights.h5"),
            ("v1.2.json", ".2.json"),
            ("LAST", ""),
            ("x" * 250 + ".csv", ".csv"),
        ],
    )
    def test_temporary_files_are_hidden_have_the_suffix_and_can_be_removed(
        self, tmp_path, name, suffix
    ):
        for hidden in (".lock", ".gitignore", ".x.backup.txt"):
            (tmp_path / hidden).touch()

        def write_half():
            with atomic_path(tmp_path / "new" / name) as temporary:
                assert temporary.name.startswith(".")
                assert "".join(temporary.suffixes[-2:]).endswith(suffix)
                remove_unfinished(tmp_path, leave=[tmp_path / "new"])
                assert temporary.exists()
                remove_unfinished(tmp_path)
                assert not temporary.exists()
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError, match="killed"):
            write_half()
        assert len(list(tmp_path.iterdir())) == 4
        write_text(tmp_path / "new" / name, "text")
        assert (tmp_path / "new" / name).read_text() == "text"

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_permissions_follow_the_umask(self, tmp_path, monkeypatch, umask, mode):
        before = os.umask(umask)
        try:
            with monkeypatch.context() as patch:
                # The umask belongs to the process. Setting it would affect other threads.
                patch.setattr(os, "umask", lambda _: pytest.fail("os.umask was called"))
                write_text(tmp_path / "note.txt", "text")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == mode

    def test_files_are_written_if_directories_cannot_be_opened(self, target, monkeypatch):
        """Windows cannot open directories, and syncs only files that are open for writing."""
        original = {"open": os.open, "fsync": os.fsync}
        writable = set()

        def open_on_windows(path, flags, *others, **named):
            if Path(path).is_dir():
                raise PermissionError(13, "Permission denied", str(path))
            handle = original["open"](path, flags, *others, **named)
            if flags & (os.O_WRONLY | os.O_RDWR):
                writable.add(handle)
            return handle

        def fsync_on_windows(handle):
            if handle not in writable:
                raise OSError(9, "Bad file descriptor")
            original["fsync"](handle)

        monkeypatch.setattr(os, "open", open_on_windows)
        monkeypatch.setattr(os, "fsync", fsync_on_windows)
        write_text(target, "new")
        assert target.read_text() == "new"

    def test_the_content_is_synced_before_the_rename(self, target, monkeypatch):
        calls = []
        sync, replace = os.fsync, Path.replace
        monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
        monkeypatch.setattr(
            Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))
        )
        write_text(target, "new")
        assert calls == ["sync", "rename", "sync"]


FINITE = st.floats(allow_nan=False, allow_infinity=False)


class TestJson:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ([1.5, {"b": math.nan}, (math.inf, -math.inf)], [1.5, {"b": None}, [None, None]]),
            ([np.float32("nan"), np.array([[1.0, np.nan]])], [None, [[1.0, None]]]),
            ({1: "one", "n": np.int64(3)}, {"1": "one", "n": 3}),
        ],
    )
    def test_values_outside_json_are_converted(self, tmp_path, value, expected):
        write_json(tmp_path / "x.json", value)
        assert read_json(tmp_path / "x.json") == expected

    def test_a_value_that_cannot_be_converted_leaves_the_old_file(self, tmp_path):
        write_json(tmp_path / "x.json", {"old": 1})
        with pytest.raises(TypeError, match="object is not JSON"):
            write_json(tmp_path / "x.json", {"new": object()})
        assert read_json(tmp_path / "x.json") == {"old": 1}
        assert len(list(tmp_path.iterdir())) == 1

    @settings(max_examples=50)
    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | FINITE | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        )
    )
    def test_any_value_is_read_as_it_was_written(self, tmp_path_factory, value):
        path = tmp_path_factory.getbasetemp() / "any.json"
        write_json(path, value)

        assert json.loads(path.read_text(encoding="utf-8")) == value

    def test_a_damaged_sealed_file_is_an_error(self, tmp_path):
        path = tmp_path / "x.json"
        write_sealed_json(path, {"epoch": 7})
        assert read_sealed_json(path) == {"epoch": 7}
        path.write_text(path.read_text().replace("7", "8"))
        with pytest.raises(PipelineError, match=r"x\.json: is damaged"):
            read_sealed_json(path)
        path.write_text("[]")
        with pytest.raises(PipelineError, match=r"must contain a JSON object, but contains list"):
            read_sealed_json(path)
        write_json(path, {"epoch": 7})
        assert read_sealed_json(path) == {"epoch": 7}


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        *[(read, None, "there is no such file") for read in (read_json, read_arrays)],
        *[(read_json, content, "as JSON") for content in (b"{", b"\xff\xfe", b"", "directory")],
        *[(read_arrays, content, "as arrays") for content in (b"PK", b"", "directory")],
    ],
)
def test_a_missing_or_damaged_file_is_an_error_with_its_path(tmp_path, read, content, message):
    path = tmp_path / "x"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=f"x: .*{message}"):
        read(path)


def test_arrays_are_read_by_name_with_identical_bytes(tmp_path):
    arrays = {"0000:a/b": np.float32([1.5, np.nan]), "n": np.array(3)}
    write_arrays(tmp_path / "x.npz", arrays)
    found = read_arrays(tmp_path / "x.npz")
    assert list(found) == list(arrays)
    assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)


def test_python_objects_are_not_pickled(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        write_arrays(tmp_path / "x.npz", {"a": np.array([object()])})
    assert list(tmp_path.iterdir()) == []


def test_the_hash_is_sha_256_of_the_content(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # The example of FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_hash(tmp_path / "x") == expected


def test_unwritable_paths_have_a_reason(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert why_unwritable(tmp_path / "new" / "deep" / "a.csv") == ""
    assert why_unwritable(tmp_path / "file") == ""
    assert "is a directory" in why_unwritable(tmp_path)
    assert "file is a file, not a directory" in why_unwritable(tmp_path / "file" / "a.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert "is not writable" in why_unwritable(tmp_path / "new" / "a.csv")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (OSError(errno.EFBIG, "File too large"), errno.EFBIG),
        (OSError("1024 requested and 512 written"), errno.ENOSPC),
        (sqlite3.OperationalError("database or disk is full"), errno.ENOSPC),
        (
            RuntimeError(
                "Can't decrement id ref count (file write failed: errno = 28, "
                "error message = 'No space left on device')"
            ),
            errno.ENOSPC,
        ),
        (OSError(errno.EACCES, "Permission denied"), None),
        (ValueError("1024 rows requested"), None),
    ],
)
def test_errors_of_full_disks_are_recognized_and_name_the_file(error, expected, tmp_path):
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = error
    assert disk_error(error) == disk_error(wrapped) == expected
    path = tmp_path / "note.txt"
    with (
        pytest.raises(type(error) if expected is None else OSError) as raised,
        disk_errors_named(path),
    ):
        raise error
    if expected is not None:
        assert (raised.value.errno, raised.value.filename) == (expected, str(path))


def test_the_error_of_a_file_in_another_directory_keeps_its_path(tmp_path):
    with pytest.raises(OSError, match="other") as raised, disk_errors_named(tmp_path / "note.txt"):
        raise OSError(errno.ENOSPC, "No space left on device", "/other/file")
    assert raised.value.filename == "/other/file"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x" * 10_000),
        lambda path: write_json(path, ["x" * 10_000]),
        lambda path: write_arrays(path, {"values": np.zeros(10_000)}),
    ],
    ids=["text", "json", "arrays"],
)
def test_a_file_that_does_not_fit_is_named_and_removed(write, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write(tmp_path / "large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(tmp_path / "large")
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_not_utf_8_are_escaped(tmp_path):
    write_text(tmp_path / "note.txt", "run: " + os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "note.txt").read_text() == "run: caf\\udce9"
