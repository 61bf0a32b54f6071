"""Plan an extraction: describe the features, and build a task for each clip."""

import importlib.metadata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pipeline.config.extraction import uses_network
from pipeline.core.errors import ExtractionError
from pipeline.core.files import remove_unfinished
from pipeline.data.clip_table import read_clips
from pipeline.data.encoder import GIVEN_FACES, GIVEN_FLOW, VIDEOS, first_difference
from pipeline.data.shard import CLIPS_NAME
from pipeline.extraction.assemble import read_earlier_metadata
from pipeline.extraction.clip_cache import cache_path, clip_fingerprint, is_cached
from pipeline.extraction.encoders.encoders import build_dynamic_encoder, build_static_encoder
from pipeline.extraction.sources import CACHE_NAME
from pipeline.extraction.tasks import ClipSource, Job, Result, Task

_VIDEO_PACKAGES: Final = ("av", "mtcnn", "opencv-python-headless")
_NETWORK_PACKAGES: Final = ("keras", "tensorflow")
_THRESHOLDS: Final = ("min_coverage", "min_share")
"""Settings that select clips but do not change feature values."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Tasks and description of an extraction."""

    description: Mapping[str, Any]
    """Result of `describe_features`."""
    settings: Mapping[str, Any]
    """Configuration as plain values, for a later extraction from other clips."""
    num_shown: int
    """Maximum number of clips on the contact sheet."""
    tasks: Mapping[str, Task]
    """Clip id -> task, for all clips whose files can be read."""
    failed: Sequence[Result]
    """Clips whose files cannot be read."""

    def shown_clips(self, clip_ids: Iterable[str], groups: Mapping[str, str]) -> list[str]:
        """Return the clips for the contact sheet, from as many groups as possible.

        `groups` contains the group of each clip.
        """
        order: dict[str, int] = {}
        counts: Counter[str] = Counter()
        for clip_id in clip_ids:
            order[clip_id] = counts[groups[clip_id]]
            counts[groups[clip_id]] += 1
        return sorted(order, key=order.__getitem__)[: self.num_shown]

    def remaining(self, clip_ids: Iterable[str], *, shown: Collection[str]) -> list[Task]:
        """Return the tasks of uncached clips. The clips `shown` need an image strip."""
        tasks = (replace(self.tasks[clip_id], with_strip=clip_id in shown) for clip_id in clip_ids)
        return [task for task in tasks if not is_cached(task)]


def plan_extraction(job: Job, sources: Sequence[ClipSource], features_dir: Path) -> Plan:
    """Plan the extraction of features from `sources` to `features_dir`.

    Raises:
        ExtractionError: If the directory contains features with other settings, features of clips
            that are not in `sources`, or files that were not written by an extraction.
        PipelineError: If an encoder cannot be built.
    """
    description = describe_features(job)
    _check_earlier_set(features_dir, description, {source.clip_id for source in sources})
    cache_dir = features_dir / CACHE_NAME
    cache_dir.mkdir(parents=True, exist_ok=True)
    remove_unfinished(features_dir)
    config = job.config
    thresholds = {"min_coverage": config.sampling.min_coverage, "min_share": config.faces.min_share}
    tasks: dict[str, Task] = {}
    failed = []
    for source in sources:
        try:
            fingerprint = clip_fingerprint(source, {**description, "thresholds": thresholds})
        except OSError as error:
            failed.append(Result.unreadable(source.clip_id, error))
        else:
            path = cache_path(cache_dir, source.clip_id)
            tasks[source.clip_id] = Task(source=source, path=path, fingerprint=fingerprint)
    return Plan(
        description=description,
        settings=asdict(config),
        num_shown=config.num_shown if job.decodes_videos else 0,
        tasks=tasks,
        failed=failed,
    )


def describe_features(job: Job) -> dict[str, Any]:
    """Return all settings that determine the feature values, as plain values.

    These settings are stored as `encoder` in `features.json`. A model can be applied to new clips
    only if the settings of their features equal the settings of the training features.

    Raises:
        PipelineError: If an encoder cannot be built, for example because weights are missing.
    """
    config = job.config
    static = build_static_encoder(config).describe()
    dynamic = build_dynamic_encoder(config).describe()
    packages = list(_VIDEO_PACKAGES) if job.decodes_videos else ["opencv-python-headless"]
    if uses_network(config):
        packages += _NETWORK_PACKAGES
    description: dict[str, Any] = {
        "name": f"{config.static.encoder} + {config.dynamic.encoder}",
        "sampling": _without_thresholds(asdict(config.sampling)),
        "faces": _without_thresholds(asdict(config.faces)),
        "static": {**static, "of": GIVEN_FACES if job.has_faces else VIDEOS},
        "dynamic": {
            **dynamic,
            "of": GIVEN_FLOW if job.has_flow else VIDEOS,
            "num_pairs": config.dynamic.num_pairs,
        },
        "libraries": {
            name: importlib.metadata.version(name).partition(".")[0] for name in packages
        },
    }
    if job.decodes_videos:
        description["faces"]["detector"] = "mtcnn"
    if not job.has_flow:
        description["dynamic"]["flow"] = "DIS medium"
    return description


def _without_thresholds(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _THRESHOLDS}


def _check_earlier_set(
    features_dir: Path, description: Mapping[str, Any], clip_ids: set[str]
) -> None:
    earlier = read_earlier_metadata(features_dir)
    if earlier is None:
        return
    difference = first_difference(earlier.get("encoder"), dict(description), "encoder")
    if difference:
        raise ExtractionError(
            f"{features_dir}: contains features with other settings ({difference.name} was "
            f"{difference.expected} and is {difference.found}). These features are not replaced. "
            "Give another --features_dir, or remove this directory."
        )
    table = features_dir / CLIPS_NAME
    missing = set(read_clips(table)["clip_id"]) - clip_ids if table.exists() else set()
    if missing:
        raise ExtractionError(
            f"{features_dir}: contains {len(missing)} clips that are not among the given clips, "
            f"for example {min(missing)}. These clips are not removed. Give another --features_dir."
        )
