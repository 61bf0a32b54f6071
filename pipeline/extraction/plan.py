"""What an extraction has to do, and what earlier runs have done already."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import ExtractionError
from pipeline.data.clip_table import read_clips
from pipeline.data.encoder import first_difference
from pipeline.extraction.description import describe, thresholds
from pipeline.extraction.gather import earlier_metadata
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.unit import fingerprint, is_done, unit_path
from pipeline.extraction.worker import Job, Result, Task

UNITS_NAME: Final = "clips"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done."""

    description: Mapping[str, Any]
    """What decides the values."""
    settings: Mapping[str, Any]
    """The configuration, in plain values, with which others can be made alike."""
    units: Mapping[str, Path]
    """Clip id -> its file, of all clips that can be read, in order."""
    prints: Mapping[str, str]
    """Clip id -> its fingerprint."""
    shown: Sequence[str]
    """Clips on the contact sheet."""
    tasks: Sequence[Task]
    """Clips that are not done yet."""
    failed: Sequence[Result]
    """Clips whose files are not there."""


def plan_work(job: Job, sources: Sequence[ClipSource], features_dir: Path) -> Plan:
    """Return what is to be done to have the features of `sources` in `features_dir`.

    Raises:
        ExtractionError: If the directory holds other features, or something else.
        PipelineError: If an encoder cannot be built.
    """
    description = describe(job)
    _refuse_other_set(features_dir, description, {source.clip_id for source in sources})
    units_dir = features_dir / UNITS_NAME
    units_dir.mkdir(parents=True, exist_ok=True)
    for unfinished in units_dir.glob("*/.*.npz"):  # by a worker that was killed
        unfinished.unlink()
    settings = {**description, "thresholds": thresholds(job)}
    sees_videos = job.has_videos and not (job.has_faces and job.has_flow)
    shown = [source.clip_id for source in sources[: job.config.num_shown] if sees_videos]
    prints: dict[str, str] = {}
    tasks, failed = [], []
    for source in sources:
        path = unit_path(units_dir, source.clip_id)
        try:
            made_with = fingerprint(source, settings)
        except OSError as error:
            failed.append(Result.unreadable(source.clip_id, error))
            continue
        prints[source.clip_id] = made_with
        with_strip = source.clip_id in shown
        if not is_done(path, made_with=made_with, needs_strip=with_strip):
            task = Task(source=source, path=path, made_with=made_with, with_strip=with_strip)
            tasks.append(task)
    return Plan(
        description=description,
        settings=dataclasses.asdict(job.config),
        units={clip_id: unit_path(units_dir, clip_id) for clip_id in prints},
        prints=prints,
        shown=shown,
        tasks=tasks,
        failed=failed,
    )


def _refuse_other_set(
    features_dir: Path, description: Mapping[str, Any], clip_ids: set[str]
) -> None:
    earlier = earlier_metadata(features_dir)
    if earlier is None:
        return
    difference = first_difference(earlier.get("encoder"), dict(description), "encoder")
    if difference:
        raise ExtractionError(
            f"{features_dir}: holds features made otherwise ({difference.name} was "
            f"{difference.expected} and is {difference.found}). They are not replaced: give "
            "another --features_dir, or remove this one."
        )
    gone = set(read_clips(features_dir / "clips.csv")["clip_id"]) - clip_ids
    if gone:
        raise ExtractionError(
            f"{features_dir}: holds {len(gone)} clips that are not among those given (the "
            f"first: {min(gone)}). They are not dropped: give another --features_dir."
        )
