"""Append-only log of a run in `events.jsonl`, the source of truth for the other files of the run.

Each line is a JSON object. It ends in a newline and is synced to disk. Readers ignore an
incomplete last line, and the next writer removes this line. A damaged line can still be valid
JSON. To detect this damage, the last key of a line, `crc`, contains the CRC-32 of the preceding
bytes of the line. Lines from earlier versions of the pipeline have no `crc` and are not checked.

A resumed run continues from its last checkpoint. Its `resumed` event contains the size of the log
at this checkpoint. The events between this position and the `resumed` event are *superseded*,
because the resumed run logs them again.
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

# Kinds of events, as stored in `events.jsonl`.
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
    """Kind of the event, e.g. `epoch`."""
    time_ms: int
    """Time of writing, in milliseconds since 1970."""
    content: dict[str, Any]
    """The other keys of the line and their values."""
    start: int
    """Offset of the first byte of the line."""
    end: int
    """Offset of the first byte after the line."""


class RunLog:
    """Writer of a run log. Each `log_` method syncs its event to disk before it returns.

    Args:
        path: File of the run log.
        removes_torn_line: True to remove an incomplete last line. Only the process that holds
            the lock of the run directory may remove the line.
    """

    def __init__(self, path: Path, *, removes_torn_line: bool = True) -> None:
        self.path = path
        self.num_logged_epochs = 0
        """Number of epochs in the run log. Events of these epochs are not logged again."""
        self.has_metrics = False
        """Whether this object has logged metrics other than CPU and memory use."""
        self._lock = threading.Lock()  # a separate thread logs the system metrics
        path.parent.mkdir(parents=True, exist_ok=True)
        if removes_torn_line:
            self._remove_torn_line()

    @property
    def size(self) -> int:
        """Size of the run log in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters of the run."""
        self._append(PARAMS, params=dict(params))

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        """Log tags of the run. A later value replaces an earlier value."""
        self._append(TAGS, tags=dict(tags))

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0) -> None:
        """Log metrics with names such as `validation/ccc/openness`."""
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
        """Log the feature set of the run. `splits` contains the number of clips per subset."""
        self._append(
            DATASET,
            name=name,
            digest=digest,
            source=source,
            profile=dict(profile),
            splits=dict(splits),
        )

    def log_epoch(self, content: Mapping[str, Any]) -> None:
        """Log the record of an epoch. `content` is the result of `records.epochs.to_content`."""
        self._append(EPOCH, **content)

    def log_attention(self, epoch: int, entropy: Mapping[str, Sequence[float | None]]) -> None:
        """Log the attention entropy of each head after an epoch."""
        self._append(ATTENTION, epoch=epoch, entropy=dict(entropy))

    def log_checkpoint(self, epoch: int) -> None:
        """Log that the checkpoint after this epoch is complete."""
        self._append(CHECKPOINT, epoch=epoch)

    def log_resumed(self, epoch: int, *, offset: int) -> None:
        """Log that the run continues after an epoch.

        The events between byte `offset` of the log and this event are superseded.
        """
        self._append(RESUMED, epoch=epoch, offset=offset)

    def log_artifacts(self, paths: Iterable[str]) -> None:
        """Log the paths of files and folders. The mirror sends them to MLflow as artifacts."""
        self._append(ARTIFACTS, paths=list(paths))

    def log_model(self, *, registered_model: str, alias: str) -> None:
        """Log that the trained model can be sent to MLflow.

        The model is registered if `registered_model` is not empty. `alias` may be empty.
        """
        self._append(MODEL, registered_model=registered_model, alias=alias)

    def log_link(self, link: Mapping[str, Any]) -> None:
        """Log the link to the MLflow run."""
        self._append(LINK, link=dict(link))

    def log_status(self, status: str, *, reason: str | None = None) -> None:
        """Log the end of the run: FINISHED, FAILED or KILLED."""
        self._append(FINISHED, status=status, **({"reason": reason} if reason else {}))

    def _append(self, kind: str, **content: Any) -> None:
        if kind != RESUMED and 0 < content.get("epoch", 0) <= self.num_logged_epochs:
            return
        event = {"kind": kind, "time_ms": time.time_ns() // 1_000_000, **content}
        text = json.dumps(event, separators=(",", ":"), ensure_ascii=False).removesuffix("}")
        # Surrogates represent file-name bytes that are not UTF-8. MLflow rejects surrogates, so
        # they are replaced by their code numbers as text.
        body = _SURROGATES.sub(lambda found: rf"\\u{ord(found[0]):04x}", text).encode()
        line = body + b',"crc":"%08x"}\n' % zlib.crc32(body)
        with (
            self._lock,
            disk_errors_named(self.path),
            self.path.open("ab", buffering=0) as stream,
        ):
            _write_whole(stream, line)
            os.fsync(stream.fileno())
        self.has_metrics = self.has_metrics or kind in (EPOCH, METRICS)

    def _remove_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as stream:
            content = stream.read()
            if not content.endswith(b"\n"):
                stream.truncate(content.rfind(b"\n") + 1)


def _write_whole(stream: io.FileIO, line: bytes) -> None:
    """Write a whole line. If the disk is full, remove the incomplete line again."""
    start = stream.tell()
    try:
        while line:
            line = line[stream.write(line) :]
    except BaseException:
        stream.truncate(start)
        raise


def read_events(path: Path, *, start: int = 0) -> Iterator[Event]:
    """Yield the complete events of a run log, starting at byte `start`.

    Raises:
        RunError: If a line is damaged.
    """
    if not path.exists():
        return
    with path.open("rb") as stream:
        stream.seek(start)
        has_crc = False
        for line in stream:
            if not line.endswith(b"\n"):
                return
            event = _parse(path, line, start, needs_crc=has_crc)
            has_crc = has_crc or _find_crc(line) is not None
            yield event
            start += len(line)


def effective_events(events: Iterable[Event]) -> list[Event]:
    """Return the events that are not superseded by a resumed run."""
    kept: list[Event] = []
    for event in events:
        if event.kind == RESUMED:
            kept = [earlier for earlier in kept if earlier.end <= event.content["offset"]]
        kept.append(event)
    return kept


def _parse(path: Path, line: bytes, start: int, *, needs_crc: bool) -> Event:
    try:
        _check_crc(line, is_required=needs_crc)
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
            "backup. Without a backup, start a new run: `python -m pipeline train --config "
            f"{path.with_name('config.yaml')}`."
        ) from error


def _check_crc(line: bytes, *, is_required: bool) -> None:
    crc = _find_crc(line)
    # Lines without a checksum come from an earlier version, so they must be the first lines.
    if (crc is None and is_required) or crc not in (None, zlib.crc32(line[:-_CRC_SIZE])):
        raise ValueError("its checksum is wrong")


def _find_crc(line: bytes) -> int | None:
    found = _CRC.fullmatch(line[-_CRC_SIZE:])
    return int(found[1], 16) if found else None


def read_last_status(run: RunDirectory) -> str | None:
    """Return FINISHED, FAILED or KILLED, or None if the run has not ended."""
    status = None
    for event in read_events(run.run_log_path):
        if event.kind == FINISHED:
            status = str(event.content["status"])
        elif event.kind == RESUMED:
            status = None
    return status


def check_run_log(run: RunDirectory) -> None:
    """Check that the run log is complete. The log is compared with the checkpoints.

    Raises:
        RunError: If there are checkpoints without a run log, or the run has ended but its end is
            not in the log.
    """
    if not run.checkpoints_dir.exists() or read_last_status(run) == "FINISHED":
        return
    if not run.run_log_path.exists():
        raise RunError(
            f"{run.run_log_path}: is missing. Restore it from a backup, or start a new run."
        )
    if not run.initial_path.exists():
        raise RunError(
            f"{run.run_log_path}: the end of the run is missing. {run.initial_path} is also "
            "missing, although it exists until the run has ended. Restore the damaged file from "
            "a backup, or start a new run."
        )


def log_killed(run: RunDirectory, *, reason: str) -> None:
    """Log KILLED for a run that has not ended. The caller must hold the lock of the run."""
    if run.run_log_path.exists() and read_last_status(run) is None:
        RunLog(run.run_log_path).log_status("KILLED", reason=reason)


def log_killed_unless_running(run: RunDirectory, *, reason: str) -> None:
    """Log KILLED for a run that has not ended, except if another process holds its lock."""
    if run.run_log_path.exists():
        with contextlib.suppress(RunError), run.locked():
            log_killed(run, reason=reason)
