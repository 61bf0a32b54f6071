"""Types for clips, tasks and results. The main process and the workers use these types.

A worker process imports this module before it sets its thread limits. Therefore this module must
not import TensorFlow or OpenCV.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.files import write_text

Stage = Literal["name", "annotation", "open", "decode", "face", "encode", "time", "crash", "suffix"]
"""Stages or causes of a failure. `time`: the time limit was exceeded. `crash`: the worker or its
task failed. `suffix`: the file is not used as a clip."""


class ClipError(Exception):
    """Error for one unusable clip. The extraction continues with the other clips."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(stage, reason)  # pickle needs both arguments
        self.stage = stage
        self.reason = " ".join(reason.split())

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class ClipSource:
    """Files of one clip. At least one path is not None."""

    clip_id: str
    video: Path | None = None
    face_dir: Path | None = None
    """Folder of face images."""
    flow_dir: Path | None = None
    """Folder of flow fields."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Settings of an extraction, identical for all workers."""

    config: ExtractionConfig
    has_faces: bool = False
    """True if the static stream is computed from given face images instead of videos."""
    has_flow: bool = False
    """True if the dynamic stream is computed from given flow fields instead of videos."""

    @property
    def decodes_videos(self) -> bool:
        """True if at least one stream is computed from videos."""
        return not (self.has_faces and self.has_flow)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Extraction of the features of one clip."""

    source: ClipSource
    path: Path
    """Cache file for the features of the clip."""
    fingerprint: str
    """Hash of all inputs that determine the features; stored with the features."""
    with_strip: bool = False
    """True if the worker draws the strip of the clip for the contact sheet."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Success or failure of the extraction for one clip."""

    clip_id: str
    stage: str = ""
    """Stage of the failure; empty on success."""
    reason: str = ""

    @classmethod
    def unreadable(cls, clip_id: str, error: OSError) -> "Result":
        """Build the result for a clip with unreadable files."""
        reason = f"cannot be read ({error.strerror or error})"
        return cls(clip_id=clip_id, stage="open", reason=reason)

    @property
    def is_done(self) -> bool:
        """True if the features were written."""
        return not self.stage


def write_failures(path: Path, failed: Sequence[Result]) -> None:
    """Write the table of failed clips atomically. Without failures, it has only a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip_id", "stage", "reason"))
    writer.writerows((result.clip_id, result.stage, result.reason) for result in failed)
    write_text(path, text.getvalue())
