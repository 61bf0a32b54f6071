"""The append-only journal of a run: the source of truth that everything else mirrors.

One JSON object per line, in `events.jsonl`. A line counts once it ends in a newline and
is synced to disk; what a kill tears off is ignored by readers and cut by the next writer.
The last key of a line, `crc`, holds the CRC-32 of the bytes before it: a damaged line may
still parse, as another loss. Lines of older versions have none and are not checked.

A run that is resumed goes back to its last checkpoint. It appends a `resumed` event with
the journal's size at that checkpoint; events between the two are *superseded*, as the
resumed run will tell them again.
"""

import io
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import RunError
from pipeline.core.files import disk_errors_named

EPOCH = "epoch"
RESUMED = "resumed"
CHECKPOINT = "checkpoint"
FINISHED = "finished"

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_CRC: Final = re.compile(rb',"crc":"([0-9a-f]{8})"}\n')
_CRC_SIZE: Final = len(',"crc":"01234567"}\n')


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of the journal."""

    kind: str
    """What happened, e.g. `epoch`."""
    time_ms: int
    """When it was written, in milliseconds since 1970."""
    content: dict[str, Any]
    """What is told about it."""
    start: int
    """Offset of the line's first byte."""
    end: int
    """Offset behind the line's last byte."""


class Journal:
    """Appends events to a journal file, each append synced to disk before it returns."""

    def __init__(self, path: Path, *, cuts_torn_line: bool = True) -> None:
        self.path = path
        self.told_epochs = 0
        """Epochs that the journal holds already; a resumed run that repeats them writes nothing."""
        self._lock = threading.Lock()  # system metrics are written from a thread of their own
        path.parent.mkdir(parents=True, exist_ok=True)
        if cuts_torn_line:  # only the process that holds the run directory may cut
            self._cut_torn_line()

    @property
    def size(self) -> int:
        """The journal's size in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, kind: str, **content: Any) -> None:
        """Write one event durably, unless it is of an epoch that the journal holds already."""
        if kind != RESUMED and 0 < content.get("epoch", 0) <= self.told_epochs:
            return
        event = {"kind": kind, "time_ms": time.time_ns() // 1_000_000, **content}
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False).removesuffix("}")
        # Bytes of file names that are not UTF-8: MLflow takes no text that contains them.
        body = _SURROGATES.sub(lambda found: rf"\\u{ord(found[0]):04x}", text).encode()
        line = body + b',"crc":"%08x"}\n' % zlib.crc32(body)
        with (
            self._lock,
            disk_errors_named(self.path),
            self.path.open("ab", buffering=0) as stream,
        ):
            _write_whole(stream, line)
            os.fsync(stream.fileno())

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as stream:
            content = stream.read()
            if not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)


def _write_whole(stream: io.FileIO, line: bytes) -> None:
    """Write the line or, when the disk is full, nothing: the next event would join its half."""
    start = stream.tell()
    try:
        while line:
            line = line[stream.write(line) :]
    except BaseException:
        stream.truncate(start)
        raise


def read_events(path: Path, *, start: int = 0) -> Iterator[Event]:
    """Yield the whole events of a journal from byte `start` on; a torn last line is left out.

    Raises:
        RunError: If a line in the middle is damaged.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        stream.seek(start)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            yield _parsed(path, line, start)
            start += len(line)


def effective_events(events: Iterable[Event]) -> list[Event]:
    """Return the events without those that a later resume superseded."""
    kept: list[Event] = []
    for event in events:
        if event.kind == RESUMED:
            kept = [earlier for earlier in kept if earlier.end <= event.content["offset"]]
        kept.append(event)
    return kept


def _parsed(path: Path, line: bytes, start: int) -> Event:
    try:
        _check_crc(line)
        content = json.loads(line)
        content.pop("crc", None)
        return Event(
            kind=content.pop("kind"),
            time_ms=content.pop("time_ms"),
            content=content,
            start=start,
            end=start + len(line),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(
            f"{path}: the line at byte {start} is damaged ({error}). Restore the file from a "
            "backup. Without one, start a new run: `python -m pipeline train --config "
            f"{path.with_name('config.yaml')}`."
        ) from error


def _check_crc(line: bytes) -> None:
    """Raise a ValueError if the line does not fit the checksum that it ends with."""
    found = _CRC.fullmatch(line[-_CRC_SIZE:])
    if found and int(found[1], 16) != zlib.crc32(line[:-_CRC_SIZE]):
        raise ValueError("its checksum differs")
