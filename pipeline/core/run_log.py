"""The append-only log of a run: the source of truth that everything else mirrors.

One JSON object per line, in `events.jsonl`. A line counts once it ends in a newline and
is synced to disk; what a kill tears off is ignored by readers and cut by the next writer.
The last key of a line, `crc`, holds the CRC-32 of the bytes before it: a damaged line may
still parse, as another loss. Lines of older versions have none and are not checked.

A run that is resumed goes back to its last checkpoint. It appends a `resumed` event with
the run log's size at that checkpoint; events between the two are *superseded*, as the
resumed run will tell them again.
"""

import contextlib
import io
import json
import os
import re
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import RunError
from pipeline.core.files import disk_errors_named
from pipeline.core.run_directory import RunDirectory

# Kinds of events. They are stored in `events.jsonl`.
PARAMS: Final = "params"
TAGS: Final = "tags"
METRICS: Final = "metrics"
SYSTEM_METRICS: Final = "system"
DATASET: Final = "dataset"
EPOCH: Final = "epoch"
ATTENTION: Final = "attention"
CHECKPOINT: Final = "checkpoint"
RESUMED: Final = "resumed"
ARTIFACTS: Final = "artifacts"
MODEL: Final = "model"
LINK: Final = "mlflow_run"
FINISHED: Final = "finished"

_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_CRC: Final = re.compile(rb',"crc":"([0-9a-f]{8})"}\n')
_CRC_SIZE: Final = len(',"crc":"01234567"}\n')


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of the run log."""

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


class RunLog:
    """Appends events to a run log file, each append synced to disk before it returns."""

    def __init__(self, path: Path, *, cuts_torn_line: bool = True) -> None:
        self.path = path
        self.num_logged_epochs = 0
        """Epochs that the run log holds already; a resumed run that repeats them writes nothing."""
        self._lock = threading.Lock()  # system metrics are written from a thread of their own
        path.parent.mkdir(parents=True, exist_ok=True)
        if cuts_torn_line:  # only the process that holds the run directory may cut
            self._cut_torn_line()

    @property
    def size(self) -> int:
        """The run log's size in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters of the run."""
        self._append(PARAMS, params=dict(params))

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        """Log tags of the run; a later value replaces an earlier one."""
        self._append(TAGS, tags=dict(tags))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics, named like `validation/ccc/openness`."""
        self._append(METRICS, step=step, metrics=dict(metrics))

    def log_system_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log CPU and memory use."""
        self._append(SYSTEM_METRICS, step=step, metrics=dict(metrics))

    def log_dataset(
        self,
        *,
        name: str,
        digest: str,
        source: str,
        profile: Mapping[str, Any],
        splits: Mapping[str, int],
    ) -> None:
        """Log the feature set of the run.

        Args:
            name: Name of the feature set.
            digest: Hash of its content.
            source: Directory of its files.
            profile: Description of its arrays.
            splits: Number of clips per split.
        """
        self._append(
            DATASET,
            name=name,
            digest=digest,
            source=source,
            profile=dict(profile),
            splits=dict(splits),
        )

    def log_epoch(self, content: Mapping[str, Any]) -> None:
        """Log one epoch, as `records.epochs.to_content` returns it."""
        self._append(EPOCH, **content)

    def log_attention(self, epoch: int, entropy: Mapping[str, Sequence[float | None]]) -> None:
        """Log the attention entropy of each head after an epoch."""
        self._append(ATTENTION, epoch=epoch, entropy=dict(entropy))

    def log_checkpoint(self, epoch: int) -> None:
        """Log that the checkpoint after this epoch is complete."""
        self._append(CHECKPOINT, epoch=epoch)

    def log_resumed(self, epoch: int, *, offset: int) -> None:
        """Log that the run continues after an epoch; events after byte `offset` are superseded."""
        self._append(RESUMED, epoch=epoch, offset=offset)

    def log_artifacts(self, paths: Iterable[str]) -> None:
        """Log files and folders of the run directory that MLflow gets as artifacts."""
        self._append(ARTIFACTS, paths=list(paths))

    def log_model(self, *, registered_model: str, alias: str) -> None:
        """Log the trained model, which MLflow gets packaged.

        Args:
            registered_model: Name in the model registry, or "".
            alias: Alias of the new version, or "".
        """
        self._append(MODEL, registered_model=registered_model, alias=alias)

    def log_link(self, link: Mapping[str, Any]) -> None:
        """Log which MLflow run mirrors this run."""
        self._append(LINK, link=dict(link))

    def log_status(self, status: str, *, reason: str | None = None) -> None:
        """Log how the run ended: FINISHED, FAILED or KILLED."""
        self._append(FINISHED, status=status, **({"reason": reason} if reason else {}))

    def _append(self, kind: str, **content: Any) -> None:
        """Write one event and sync it, unless the run log already has its epoch."""
        if kind != RESUMED and 0 < content.get("epoch", 0) <= self.num_logged_epochs:
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
    """Yield the whole events of a run log from byte `start` on; a torn last line is left out.

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


def read_last_status(run: RunDirectory) -> str | None:
    """Return how a run ended: FINISHED, FAILED or KILLED; None where nothing says it did."""
    status = None
    for event in read_events(run.run_log_path):
        if event.kind == FINISHED:
            status = str(event.content["status"])
        elif event.kind == RESUMED:
            status = None
    return status


def check_run_log(run: RunDirectory) -> None:
    """Check that nothing is missing at the end of the run log, as far as other files show.

    Raises:
        RunError: If the run has reached its end, or a checkpoint, and the log does not have it.
    """
    if not run.checkpoints_dir.exists() or read_last_status(run) == "FINISHED":
        return
    if not run.run_log_path.exists():
        raise RunError(
            f"{run.run_log_path}: is missing. Restore it from a backup, or start a new run."
        )
    if not run.initial_path.exists():
        raise RunError(
            f"{run.run_log_path}: does not have the end of the run, but {run.initial_path}, which "
            "is removed at the end, is gone. Restore the damaged one of the two from a backup, or "
            "start a new run."
        )


def log_killed(run: RunDirectory, *, reason: str) -> None:
    """Say that a run whose process is gone was killed, unless it has ended.

    Only for who holds its directory.
    """
    if run.run_log_path.exists() and read_last_status(run) is None:
        RunLog(run.run_log_path).log_status("KILLED", reason=reason)


def log_killed_unless_running(run: RunDirectory, *, reason: str) -> None:
    """The same for any run: one that a process is at work in will say itself how it ended."""
    if run.run_log_path.exists():
        with contextlib.suppress(RunError), run.locked():
            log_killed(run, reason=reason)
