"""Atomic file output: write a temporary file, sync it to disk, then rename it."""

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
"""Pattern for the names of the temporary files that `atomic_path` creates."""

_HASH_KEY: Final = "sha256"

_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_DISK_MESSAGES: Final = {
    **{re.escape(os.strerror(number)): number for number in _DISK_ERRORS},
    "database or disk is full": errno.ENOSPC,  # SQLite
    r"\d+ requested and \d+ written": errno.ENOSPC,  # numpy
}
"""Pattern of an error message about a full disk -> error number."""


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
    """If the disk is full, raise an error that names `path`.

    The original error may name no file. If it names a file in another directory than that of
    `path`, the original error is raised.

    Raises:
        OSError: If the disk is full or a file size limit is reached.
    """
    try:
        yield
    except Exception as error:
        number = disk_error(error)
        name = getattr(error, "filename", None)
        is_elsewhere = isinstance(name, str) and Path(name).parent != path.parent
        if number is None or is_elsewhere:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the directory of `path`. After the block, rename it to `path`.

    If the block raises an error or the process is killed, the file at `path` does not change. The
    temporary name has the suffix of `path`, because libraries choose the file format by suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():  # the rename would fail with an error that names the temporary path
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    suffix = "".join(path.suffixes[-2:])
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{suffix}")
    try:
        with disk_errors_named(path):
            temporary.touch(exist_ok=False)  # the umask sets the permissions
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(directory: Path, *, leave: Collection[Path] = ()) -> None:
    """Remove the temporary files of killed processes, except in the subdirectories `leave`.

    The caller must ensure that no process writes to the directory.
    """
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if Path(folder, name) not in leave]
        for name in names:
            if _TEMPORARY.fullmatch(name):
                Path(folder, name).unlink(missing_ok=True)


def why_unwritable(path: Path) -> str:
    """Return the reason why `path` is not writable; "" if it is writable."""
    if path.is_dir():
        return f"{path}: is a directory; name a file in it."
    parent = next((parent for parent in path.absolute().parents if parent.exists()), None)
    if parent is not None and not parent.is_dir():
        return f"{path}: {parent} is a file, not a directory; choose another path."
    if parent is not None and not os.access(parent, os.W_OK):
        return f"{path}: {parent} is not writable; choose another path."
    return ""


def write_text(path: Path, text: str) -> None:
    r"""Write `text` atomically in UTF-8. Invalid bytes of file names are escaped (`\udcff`)."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as JSON. NaN and infinity are invalid in JSON and become null.

    Objects are indented. A list of numbers or texts is one line.
    """
    try:
        text = _indented(value, "\n")
    except ValueError:
        text = _indented(_finite(value), "\n")
    write_text(path, text + "\n")


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object together with the SHA-256 of its content."""
    content = _finite(value)
    write_json(path, {**content, _HASH_KEY: _content_hash(content)})


def read_sealed_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that `write_sealed_json` wrote.

    Files that earlier versions of the pipeline wrote have no hash and are not checked.

    Raises:
        PipelineError: If the file is missing, is not a JSON object, or does not match its hash.
    """
    content = read_object(path)
    expected = content.pop(_HASH_KEY, None)
    if expected is not None and expected != _content_hash(content):
        raise PipelineError(f"{path}: is damaged; its content does not match its hash.")
    return content


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays atomically to an uncompressed `.npz` file."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **dict(arrays))


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of an `.npz` file by name. Pickled objects are rejected.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise PipelineError(f"{path}: there is no such file.") from None
    except Exception as error:  # a damaged archive can cause almost any error in zipfile and NumPy
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
    """Read a JSON file that contains an object.

    Raises:
        PipelineError: If the file is missing or is not a JSON object.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise PipelineError(
            f"{path}: must contain a JSON object, but contains {type(content).__name__}. "
            "Restore the file from the run's artifacts."
        )
    return content


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _content_hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _indented(value: Any, margin: str) -> str:
    """Return `value` as JSON. `margin` is the line break before the closing bracket.

    The option `indent` of `json` writes each number of a list on its own line. For the log of a
    training, it needs 1.4 times as long, because it does not use the C encoder.

    Raises:
        ValueError: If a number is NaN or infinite.
    """
    inner = margin + "  "
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(str(key))}: {_indented(each, inner)}" for key, each in value.items()]
        return "{" + inner + f",{inner}".join(items) + margin + "}"
    if isinstance(value, list | tuple) and any(
        isinstance(each, dict | list | tuple) for each in value
    ):
        items = [_indented(each, inner) for each in value]
        return "[" + inner + f",{inner}".join(items) + margin + "]"
    return json.dumps(value, default=_plain, allow_nan=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _sync(path: Path) -> None:
    try:
        # On Windows, `fsync` needs a file that is open for writing; a directory cannot be opened.
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except PermissionError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def split_paths(text: str) -> list[Path]:
    """Return the paths in a text, separated by commas. If the text is an existing path, return it.

    Blank parts are left out.
    """
    # `Path.exists` raises an error for a text that is too long for a file name.
    parts = [text] if os.path.exists(text) else text.split(",")  # noqa: PTH110
    return [Path(part.strip()) for part in parts if part.strip()]
