"""Standard streams that do not fail when their other end is closed."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO, cast

_READER_IS_GONE: Final = (errno.EPIPE, errno.EIO, errno.EBADF)
"""Errors after `| head` has ended or a terminal was closed."""


def open_closed_streams() -> None:
    """Open the null device in place of standard streams that are closed.

    Otherwise the next file that is opened takes the descriptor, and messages are written into it.
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
    """Drop output whose reader is gone, and escape what the encoding of a stream cannot show.

    Raises:
        OSError: If standard output cannot be written for another reason, such as a full disk.
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
    """A text stream that goes to the null device after its first error.

    Args:
        stream: The stream to write to.
        name: Name of the stream in errors; without a name every error is dropped.
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
        if self._name and error.errno not in _READER_IS_GONE:
            raise OSError(error.errno, error.strerror, self._name) from error


def _redirect_to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == descriptor:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(null, descriptor)
        os.close(null)
