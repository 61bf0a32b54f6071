"""Files that are whole or absent: written beside their place, synced, then renamed into it."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError, one_line

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}(\..*)?")
"""What `atomic_path` calls a file that is being written."""

_SEAL: Final = "sha256"
"""Key under which a sealed JSON object holds the digest of its other entries."""


_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DISK_MESSAGES: Final = {
    **{re.escape(os.strerror(number)): number for number in _DISK_ERRORS},
    "database or disk is full": errno.ENOSPC,  # SQLite
    r"\d+ requested and \d+ written": errno.ENOSPC,  # numpy
}
"""Messages of libraries that report a full disk without its error number."""


def disk_error(error: BaseException | None) -> int | None:
    """Return ENOSPC, EDQUOT or EFBIG if a full disk or a size limit caused `error`, else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            return error.errno
        for pattern, number in _DISK_MESSAGES.items():
            if re.search(pattern, str(error)):
                return number
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Name `path` in the error of a full disk: a failed write does not name its file.

    Raises:
        OSError: If a full disk or a limit on files ended the block.
    """
    try:
        yield
    except Exception as error:
        number = disk_error(error)
        if number is None or _is_of_other_directory(error, path):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _is_of_other_directory(error: Exception, path: Path) -> bool:
    name = getattr(error, "filename", None)
    return isinstance(name, str) and Path(name).parent != path.parent


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    A block that raises, or a process that is killed in it, leaves `path` as it was.
    The temporary name keeps the suffix of `path`, as libraries choose formats by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # the rename would fail too, and name the temporary path
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    suffix = "".join(path.suffixes[-2:])
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{suffix}")
    try:
        with disk_errors_named(path):
            temporary.touch(exist_ok=False)  # with the permissions that the umask gives
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(directory: Path, *, leave: Collection[Path] = ()) -> None:
    """Remove the temporary files that a kill has left in a directory that nobody writes to.

    Args:
        directory: Directory to clean, with all directories in it.
        leave: Directories in it that are left alone.
    """
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if Path(folder, name) not in leave]
        for name in names:
            if _TEMPORARY.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)


def why_unwritable(path: Path) -> str:
    """Return why no file can be written to `path`, as far as can be told before; else nothing."""
    if path.is_dir():
        return f"{path}: is a directory; name a file in it."
    parent = next((parent for parent in path.absolute().parents if parent.exists()), None)
    if parent is not None and not parent.is_dir():
        return f"{path}: {parent} is a file, not a directory; choose another path."
    if parent is not None and not os.access(parent, os.W_OK):
        return f"{path}: {parent} cannot be written to; choose another path."
    return ""


def write_text(path: Path, text: str) -> None:
    r"""Write `text` to `path` atomically, as UTF-8.

    Bytes of file names that are not UTF-8 are written as `\udcff`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as JSON; NaN and infinities become null.

    JSON has no NaN, and readers in other languages refuse files that hold one.
    """
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with the SHA-256 of its content, so that a reader notices damage."""
    content = _finite(value)
    write_json(path, {**content, _SEAL: _content_digest(content)})


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_sealed_json`; an older file without a digest is not checked.

    Raises:
        PipelineError: If the file is missing, is not a JSON object, or does not fit its digest.
    """
    content = read_object(path)
    digest = content.pop(_SEAL, None)
    if digest is not None and digest != _content_digest(content):
        raise PipelineError(f"{path}: is damaged; its content does not fit the digest in it.")
    return content


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name to an uncompressed `.npz`, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **dict(arrays))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array of an `.npz`, by name; nothing is unpickled.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise PipelineError(f"{path}: there is no such file.") from None
    # A damaged archive makes the zip and the array reader raise almost anything.
    except Exception as error:
        reason = one_line(error)[:200]
        raise PipelineError(f"{path}: cannot be read as arrays ({reason}).") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        PipelineError: If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path}: there is no such file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(f"{path}: cannot be read as JSON ({error}).") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        PipelineError: If the file is missing or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise PipelineError(
            f"{path}: must hold a JSON object; found {type(content).__name__}. "
            "Restore the file from the run's artifacts."
        )
    return content


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _content_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _sync(path: Path) -> None:
    """Sync a file, or the directory that holds its name, to disk."""
    try:
        # Windows syncs only what is open for writing, and cannot open a directory at all.
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except PermissionError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
