"""Files are whole or absent."""

import errno
import json
import math
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
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
    read_json,
    remove_unfinished,
    why_unwritable,
    write_arrays,
    write_json,
    write_text,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "note.txt"
    path.write_text("old", encoding="utf-8")
    return path


class TestAtomicPath:
    def test_the_block_writes_beside_the_target(self, target):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            temporary.write_text("new")
            assert target.read_text() == "old"
        assert target.read_text() == "new"

    def test_a_block_that_raises_leaves_the_target_and_no_other_file(self, target):
        def write_half():
            with atomic_path(target) as temporary:
                temporary.write_text("half")
                raise RuntimeError("half way")

        with pytest.raises(RuntimeError, match="half way"):
            write_half()
        assert target.read_text() == "old"
        assert list(target.parent.iterdir()) == [target]

    def test_a_rename_that_fails_leaves_the_target_and_no_other_file(self, target, monkeypatch):
        def fail(*_):
            raise OSError("the disk is gone")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="the disk is gone"):
            write_text(target, "new")
        assert target.read_text() == "old"
        assert list(target.parent.iterdir()) == [target]

    def test_a_directory_in_the_way_is_an_error_and_stays(self, tmp_path):
        (tmp_path / "note.txt").mkdir()
        with pytest.raises(OSError, match="note"):
            write_text(tmp_path / "note.txt", "new")
        assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]

    def test_a_process_killed_in_the_block_leaves_the_target(self, target):
        ready = target.with_name("ready")
        code = (
            "import sys, time; from pathlib import Path\n"
            "from pipeline.core.files import atomic_path\n"
            "with atomic_path(Path(sys.argv[1])) as temporary:\n"
            "    temporary.write_text('half'); Path(sys.argv[2]).touch(); time.sleep(60)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code, str(target), str(ready)]) as process:
            while not ready.exists():
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert target.read_text() == "old"

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
    def test_the_temporary_name_is_hidden_and_keeps_the_suffix(self, tmp_path, name, suffix):
        with atomic_path(tmp_path / name) as temporary:
            assert temporary.name.startswith(".")
            assert "".join(temporary.suffixes[-2:]).endswith(suffix)
        assert (tmp_path / name).exists()

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_permissions_follow_the_umask(self, tmp_path, umask, mode):
        before = os.umask(umask)
        try:
            write_text(tmp_path / "note.txt", "text")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == mode

    def test_the_umask_of_other_threads_is_never_touched(self, tmp_path, monkeypatch):
        # It belongs to the process: a thread that sets it, even to read it, opens the files
        # that others create at that moment to everybody.
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("os.umask was called"))
        write_text(tmp_path / "note.txt", "text")

    def test_files_are_written_where_directories_cannot_be_opened(self, target, monkeypatch):
        """Windows opens no directories, and syncs only what is open for writing."""
        whole = {"open": os.open, "fsync": os.fsync}
        writable = set()

        def open_as_windows_does(path, flags, *others, **named):
            if Path(path).is_dir():
                raise PermissionError(13, "Permission denied", str(path))
            handle = whole["open"](path, flags, *others, **named)
            if flags & (os.O_WRONLY | os.O_RDWR):
                writable.add(handle)
            return handle

        def fsync_as_windows_does(handle):
            if handle not in writable:
                raise OSError(9, "Bad file descriptor")
            whole["fsync"](handle)

        monkeypatch.setattr(os, "open", open_as_windows_does)
        monkeypatch.setattr(os, "fsync", fsync_as_windows_does)
        write_text(target, "new")
        assert target.read_text() == "new"

    def test_missing_directories_are_made(self, tmp_path):
        write_text(tmp_path / "a" / "b" / "note.txt", "text")
        assert (tmp_path / "a" / "b" / "note.txt").read_text() == "text"

    def test_the_content_is_synced_before_the_rename(self, target, monkeypatch):
        calls = []
        sync, replace = os.fsync, Path.replace
        monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
        monkeypatch.setattr(
            Path, "replace", lambda self, to: (calls.append("rename"), replace(self, to))
        )
        write_text(target, "new")
        assert calls == ["sync", "rename", "sync"]


class TestJson:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
    def test_a_value_that_json_has_no_word_for_becomes_null(self, tmp_path, value):
        write_json(tmp_path / "x.json", {"a": [1.5, {"b": value}], "c": (value,)})
        assert read_json(tmp_path / "x.json") == {"a": [1.5, {"b": None}], "c": [None]}

    def test_an_array_becomes_a_list_with_null_for_nan(self, tmp_path):
        write_json(tmp_path / "x.json", {"a": np.array([[1.0, np.nan]]), "n": np.int64(3)})
        assert read_json(tmp_path / "x.json") == {"a": [[1.0, None]], "n": 3}

    def test_keys_become_text(self, tmp_path):
        write_json(tmp_path / "x.json", {1: "one"})
        assert read_json(tmp_path / "x.json") == {"1": "one"}

    def test_a_value_that_json_cannot_hold_leaves_the_old_file(self, tmp_path):
        write_json(tmp_path / "x.json", {"old": 1})
        with pytest.raises(TypeError, match="not JSON serializable"):
            write_json(tmp_path / "x.json", {"new": object()})
        assert read_json(tmp_path / "x.json") == {"old": 1}
        assert len(list(tmp_path.iterdir())) == 1

    @settings(max_examples=50)
    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        )
    )
    def test_what_strict_readers_read_is_what_was_written(self, tmp_path_factory, value):
        path = tmp_path_factory.getbasetemp() / "any.json"
        write_json(path, value)

        def refuse(token):
            pytest.fail(f"{token} is not JSON")

        read = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
        assert read == _with_null(value)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(PipelineError, match=r"x\.json: there is no such file\."):
            read_json(tmp_path / "x.json")

    @pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
    def test_a_damaged_file_is_named(self, tmp_path, content):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(PipelineError, match=r"x\.json: cannot be read as JSON \("):
            read_json(tmp_path / "x.json")

    def test_a_directory_in_place_of_a_file_is_named(self, tmp_path):
        with pytest.raises(PipelineError, match="cannot be read as JSON"):
            read_json(tmp_path)


class TestArrays:
    def test_arrays_come_back_by_name_to_the_bit(self, tmp_path):
        arrays = {"0000:a/b": np.float32([1.5, np.nan]), "n": np.array(3)}
        write_arrays(tmp_path / "x.npz", arrays)
        with np.load(tmp_path / "x.npz", allow_pickle=False) as stored:
            assert stored.files == list(arrays)
            assert all(stored[name].tobytes() == arrays[name].tobytes() for name in arrays)

    def test_python_objects_are_never_pickled(self, tmp_path):
        with pytest.raises(ValueError, match="allow_pickle=False"):
            write_arrays(tmp_path / "x.npz", {"a": np.array([object()])})
        assert list(tmp_path.iterdir()) == []


def test_the_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # The example of FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_hash(tmp_path / "x") == expected


def _with_null(value):
    """The value as JSON can hold it."""
    if isinstance(value, list):
        return [_with_null(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_null(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def test_a_path_that_cannot_be_written_to_is_known_before(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    assert why_unwritable(tmp_path / "new" / "deep" / "a.csv") == ""
    assert why_unwritable(tmp_path / "file") == ""
    assert "is a directory" in why_unwritable(tmp_path)
    assert "file is a file, not a directory" in why_unwritable(tmp_path / "file" / "a.csv")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert "cannot be written to" in why_unwritable(tmp_path / "new" / "a.csv")


@pytest.mark.parametrize("name", ["x.png", "model.weights.h5", "LAST", "a" * 200 + ".json"])
def test_a_file_that_is_being_written_is_known_by_its_name(tmp_path, name):
    def write_half():
        with atomic_path(tmp_path / name) as temporary:
            remove_unfinished(tmp_path)
            assert not temporary.exists()
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()


def test_hidden_files_of_others_stay(tmp_path):
    for hidden in (".lock", ".gitignore", ".x.backup.txt"):
        (tmp_path / hidden).write_text("mine")
    remove_unfinished(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


DISK_ERRORS = [
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
]
"""Errors of the system, numpy, SQLite and h5py."""


@pytest.mark.parametrize(("error", "expected"), DISK_ERRORS)
def test_a_full_disk_is_recognised_in_the_errors_of_libraries(error, expected):
    wrapped = RuntimeError("could not save")
    wrapped.__cause__ = error
    assert disk_error(error) == expected
    assert disk_error(wrapped) == expected


@pytest.mark.parametrize(("error", "expected"), DISK_ERRORS)
def test_an_error_of_a_full_disk_names_the_file_and_others_stay(error, expected, tmp_path):
    with (
        pytest.raises(type(error) if expected is None else OSError) as raised,
        disk_errors_named(tmp_path / "note.txt"),
    ):
        raise error
    if expected is not None:
        assert (raised.value.errno, raised.value.filename) == (
            expected,
            str(tmp_path / "note.txt"),
        )


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "x" * 10_000),
        lambda path: write_json(path, ["x" * 10_000]),
        lambda path: write_arrays(path, {"values": np.zeros(10_000)}),
    ],
    ids=["text", "json", "arrays"],
)
def test_a_file_that_does_not_fit_is_named_and_nothing_is_left(write, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write(tmp_path / "large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(tmp_path / "large")
    assert list(tmp_path.iterdir()) == []


def test_text_with_bytes_of_a_file_name_that_is_not_utf_8_is_written_escaped(tmp_path):
    write_text(tmp_path / "note.txt", "run: " + os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "note.txt").read_text() == "run: caf\\udce9"


def test_a_directory_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "report.csv").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "report.csv", "")
    assert caught.value.filename == str(tmp_path / "report.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
