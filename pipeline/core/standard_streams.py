"""Standard streams that do not fail if their pipe or terminal is closed."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO, cast

_NO_READER: Final = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Error numbers of a write after the reader (e.g. `head`) has ended or the terminal was closed."""


def open_closed_streams() -> None:
    """Open the null device for each closed standard stream.

    Otherwise the next opened file would get the descriptor of the stream, and messages of the
    program would be written to this file.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            _redirect_to_null(descriptor)
        if getattr(sys, name) is None:
            null = Path(os.devnull).open("w" if descriptor else "r")  # noqa: SIM115 - stays open
            setattr(sys, name, null)


@contextlib.contextmanager
def safe_standard_streams() -> Iterator[None]:
    """Drop output if its reader has ended, and escape characters that cannot be encoded.

    Raises:
        OSError: If standard output fails for another reason, such as a full disk.
    """
    open_closed_streams()
    out, err = sys.stdout, sys.stderr
    sys.stdout = cast("TextIO", _SafeOutput(out, name="standard output"))
    sys.stderr = cast("TextIO", _SafeOutput(err, name=""))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        sys.stdout, sys.stderr = out, err


class _SafeOutput:
    """Text stream that writes to the null device after its first error.

    `name` is the name of the stream in error messages. If `name` is empty, all errors are
    ignored.
    """

    def __init__(self, stream: TextIO, *, name: str) -> None:
        self._stream = stream
        self._name = name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._stream, attribute)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._handle(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._handle(error)

    def _handle(self, error: OSError) -> None:
        _redirect_to_null(self._stream.fileno())
        if self._name and error.errno not in _NO_READER:
            raise OSError(error.errno, error.strerror, self._name) from error


def _redirect_to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == descriptor:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(null, descriptor)
        os.close(null)
