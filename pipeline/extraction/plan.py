"""What an extraction has to do, and what earlier runs have done already."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ExtractionError
from pipeline.core.files import remove_unfinished
from pipeline.data.clip_table import read_clips
from pipeline.data.encoder import first_difference
from pipeline.data.shard import CLIPS_NAME
from pipeline.extraction.assemble import earlier_metadata
from pipeline.extraction.clip_cache import fingerprint, is_done, unit_path
from pipeline.extraction.description import describe, thresholds
from pipeline.extraction.sources import UNITS_NAME, ClipSource
from pipeline.extraction.worker import Job, Result, Task


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
    sources: Mapping[str, ClipSource]
    """The same clips."""
    num_shown: int
    """Clips on the contact sheet, if there are so many."""
    tasks: Sequence[Task]
    """Clips that are not done yet."""
    failed: Sequence[Result]
    """Clips whose files are not there."""

    def task(self, clip_id: str, *, with_strip: bool) -> Task | None:
        """Return what is to be done for a clip; None if its file is there as it should be."""
        path, made_with = self.units[clip_id], self.prints[clip_id]
        if is_done(path, made_with=made_with, needs_strip=with_strip):
            return None
        return Task(
            source=self.sources[clip_id], path=path, made_with=made_with, with_strip=with_strip
        )


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
    remove_unfinished(features_dir)
    settings = {**description, "thresholds": thresholds(job)}
    prints: dict[str, str] = {}
    failed = []
    for source in sources:
        try:
            prints[source.clip_id] = fingerprint(source, settings)
        except OSError as error:
            failed.append(Result.unreadable(source.clip_id, error))
    sees_videos = job.has_videos and not (job.has_faces and job.has_flow)
    plan = Plan(
        description=description,
        settings=dataclasses.asdict(job.config),
        units={clip_id: unit_path(units_dir, clip_id) for clip_id in prints},
        prints=prints,
        sources={source.clip_id: source for source in sources if source.clip_id in prints},
        num_shown=job.config.num_shown if sees_videos else 0,
        tasks=(),
        failed=failed,
    )
    tasks = (
        plan.task(clip_id, with_strip=number < plan.num_shown)
        for number, clip_id in enumerate(prints)
    )
    return dataclasses.replace(plan, tasks=[task for task in tasks if task is not None])


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
    table = features_dir / CLIPS_NAME
    gone = set(read_clips(table)["clip_id"]) - clip_ids if table.exists() else set()
    if gone:
        raise ExtractionError(
            f"{features_dir}: holds {len(gone)} clips that are not among those given (the "
            f"first: {min(gone)}). They are not dropped: give another --features_dir."
        )
