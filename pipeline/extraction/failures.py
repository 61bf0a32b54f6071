"""Why a clip has no features: where it stopped, and for what reason."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.core.files import write_text
from pipeline.extraction.worker import Result

Stage = Literal["name", "annotation", "open", "decode", "face", "encode", "time", "crash", "suffix"]
"""Where a clip can fail; `time` is its time limit, `crash` the death of its worker, `suffix` a
file that is not taken as a clip at all."""


class ClipError(Exception):
    """One clip cannot be used; the others go on.

    Args:
        stage: Where it stopped.
        reason: What was expected and what was found, one line.
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(stage, reason)  # both, so that it survives the way between processes
        self.stage = stage
        self.reason = " ".join(reason.split())

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"


def write_failures(path: Path, failed: Sequence[Result]) -> None:
    """Write a table of the clips without features, atomically; only a header if there are none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("clip_id", "stage", "reason"))
    writer.writerows((result.clip_id, result.stage, result.reason) for result in failed)
    write_text(path, text.getvalue())
