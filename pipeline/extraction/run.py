"""An extraction: from folders of clips to a feature set, resumed where it was left."""

import contextlib
import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import filelock

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ConfigError, ExtractionError, install_command
from pipeline.core.files import file_hash
from pipeline.core.traits import TraitLabel, traits_entry
from pipeline.extraction.dispatch import Engine, run_tasks
from pipeline.extraction.failures import write_failures
from pipeline.extraction.progress import ExtractionProgress
from pipeline.extraction.worker import Job, Result, Task

if TYPE_CHECKING:
    from pipeline.core.arrays import FloatArray
    from pipeline.extraction.plan import Plan

_logger = logging.getLogger(__name__)

FAILURES_NAME: Final = "failures.csv"
DEFAULT_WORKERS: Final = 2

_PACKAGES: Final = ("av", "cv2", "mtcnn")


@dataclass(frozen=True, kw_only=True)
class ExtractionOutcome:
    """What an extraction came to."""

    features_dir: Path
    """Where the feature set is."""
    num_done: int
    """Clips made in this run."""
    num_skipped: int
    """Clips that an earlier run had made."""
    failed: tuple[Result, ...]
    """Clips that have no features, with the reasons."""
    warnings: Mapping[str, str]
    """Clip id -> what is wrong with it, though it could be used."""
    failures_path: Path
    """A table of the same failures and of the files that were not used; not there if nothing
    was to be done."""
    contact_sheet_path: Path | None
    """Pictures of the first clips; None where there are no videos."""
    traits: tuple[TraitLabel, ...] = ()
    """How each trait is scored; empty if the annotations do not say it."""

    @classmethod
    def empty(cls, features_dir: Path) -> "ExtractionOutcome":
        """Return what a part of a batch array comes to that has no clip."""
        return cls(
            features_dir=features_dir,
            num_done=0,
            num_skipped=0,
            failed=(),
            warnings={},
            failures_path=features_dir / FAILURES_NAME,
            contact_sheet_path=None,
        )

    @property
    def num_clips(self) -> int:
        """Clips in the feature set."""
        return self.num_done + self.num_skipped

    @property
    def num_failed(self) -> int:
        """Clips without features."""
        return len(self.failed)


def extract_features(
    *,
    features_dir: Path,
    videos_dir: Path | None = None,
    face_dir: Path | None = None,
    flow_dir: Path | None = None,
    annotations: Sequence[Path] = (),
    config: ExtractionConfig | None = None,
    num_workers: int = DEFAULT_WORKERS,
    engine: Engine = "local",
    shard: tuple[int, int] | None = None,
) -> ExtractionOutcome:
    """Make a feature set of clips.

    Each clip is a file of its own below `features_dir`, written whole: an extraction that is
    stopped goes on where it was when it is called again, and one that is complete does
    nothing. Clips that fail are tried again by every call.

    Args:
        features_dir: Where the feature set goes; an earlier extraction with the same
            settings is gone on with.
        videos_dir: Videos, in it or in folders below it.
        face_dir: A folder of face images for each clip; they make the static stream.
        flow_dir: A folder of flow fields for each clip; they make the dynamic stream.
        annotations: Files for `read_annotations`; their scores become the labels, and
            clips without any are left out and listed.
        config: How features are made; None for the defaults.
        num_workers: Processes, or actors of Ray.
        engine: `local` processes, or `ray` for many machines.
        shard: `(i, n)` does the i-th of n parts, counted from 1, into a folder of its own
            below `features_dir`; the folders together are one sharded feature set.

    Raises:
        ConfigError: If what is given does not make both streams.
        ExtractionError: If there is nothing to do, no clip could be done, packages or
            weights are missing, `features_dir` holds something else, or another extraction
            is writing to it.
    """
    _require_packages()
    _check_request(videos_dir, face_dir, flow_dir, num_workers=num_workers, shard=shard)
    job = Job(
        config=config or ExtractionConfig(),
        has_videos=videos_dir is not None,
        has_faces=face_dir is not None,
        has_flow=flow_dir is not None,
    )
    from pipeline.data.readers.annotations import read_annotations
    from pipeline.extraction.labelling import find_labels
    from pipeline.extraction.plan import plan_work
    from pipeline.extraction.sources import count_suffixes, find_sources

    sources, failed, left_out = find_sources(videos_dir, face_dir, flow_dir)
    if left_out:
        _logger.warning(
            "files that are not used as clips: %s. %s will list them.",
            count_suffixes(each.clip_id for each in left_out),
            FAILURES_NAME,
        )
    annotated = read_annotations(annotations) if annotations else None
    sources, labels, unlabelled = find_labels(sources, annotated)
    failed += unlabelled
    if shard is not None:
        part = slice(shard[0] - 1, None, shard[1])
        sources, failed, left_out = sources[part], failed[part], left_out[part]
        features_dir = _shard_dir(features_dir, shard)
        if not sources and not failed:
            return ExtractionOutcome.empty(features_dir)
    with _held(features_dir):
        plan = plan_work(job, sources, features_dir)
        results = _run(job, plan.tasks, num_workers=num_workers, engine=engine)
        failed = [*failed, *plan.failed, *(each for each in results if each.stage)]
        failures_path = features_dir / FAILURES_NAME
        write_failures(failures_path, [*failed, *left_out])
        lost = {result.clip_id for result in failed}
        units = {clip_id: path for clip_id, path in plan.units.items() if clip_id not in lost}
        if not units:
            raise ExtractionError(_nothing_done(failed, failures_path))
        shown = list(units)[: plan.num_shown]
        # Clips that were to be on the contact sheet may have failed: others take their places.
        others = [task for name in shown if (task := plan.task(name, with_strip=True)) is not None]
        _run(job, others, num_workers=num_workers, engine=engine)
        return _finish(
            plan,
            features_dir,
            units,
            shown=[units[clip_id] for clip_id in shown],
            labels=labels,
            annotations=annotations,
            traits=annotated.traits if annotated is not None else (),
            outcome={
                "num_done": sum(result.is_done for result in results),
                "num_skipped": len(plan.units) - len(plan.tasks),
                "failed": tuple(failed),
                "failures_path": failures_path,
            },
        )


def _shard_dir(features_dir: Path, shard: tuple[int, int]) -> Path:
    """Return where a part goes; parts of different numbers would hold the same clips twice."""
    from pipeline.extraction.sources import UNITS_NAME

    if (features_dir / UNITS_NAME).exists():
        raise ExtractionError(
            f"{features_dir}: holds a whole extraction already, beside which a part is not read. "
            "Give another --features_dir."
        )
    for other in features_dir.glob("shard-*-of-*"):
        if other.name.rpartition("-")[2] != f"{shard[1]:04d}":
            raise ExtractionError(
                f"{features_dir}: holds {other.name}, and a part of {shard[1]} would hold the "
                "same clips again. Give another --features_dir, or move it away."
            )
    return features_dir / f"shard-{shard[0]:04d}-of-{shard[1]:04d}"


@contextlib.contextmanager
def _held(features_dir: Path) -> Iterator[None]:
    """Hold the directory for this process alone; the lock ends with the process."""
    from pipeline.extraction.assemble import LOCK_NAME, earlier_metadata

    earlier_metadata(features_dir)  # refuses the directories of others
    try:
        features_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExtractionError(f"{features_dir}: cannot be made ({error.strerror}).") from None
    lock = filelock.FileLock(features_dir / LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ExtractionError(
            f"{features_dir}: another extraction is writing to it. Wait for it to end, or give "
            "each its own --shard."
        ) from None
    try:
        yield
    except OSError as error:
        raise ExtractionError(
            f"{error.filename or features_dir}: {error.strerror or error}. Clips that are done "
            "stay; the same command goes on with the others."
        ) from error
    finally:
        lock.release()


def _run(job: Job, tasks: Sequence[Task], *, num_workers: int, engine: Engine) -> list[Result]:
    if not tasks:
        return []
    results = []
    with ExtractionProgress(len(tasks)) as progress:
        for result in run_tasks(job, tasks, num_workers=num_workers, engine=engine):
            results.append(result)
            progress.advance(failed=not result.is_done)
    return results


def _finish(
    plan: "Plan",
    features_dir: Path,
    units: Mapping[str, Path],
    *,
    shown: Sequence[Path],
    labels: "Mapping[str, FloatArray]",
    annotations: Sequence[Path],
    traits: tuple[TraitLabel, ...],
    outcome: Mapping[str, Any],
) -> ExtractionOutcome:
    """Write the set, unless it is there already as it would be written."""
    import numpy as np

    from pipeline.data.clip_table import read_clips
    from pipeline.extraction.assemble import (
        SHEET_NAME,
        earlier_metadata,
        gather,
        is_whole,
        write_contact_sheet,
    )

    sheet = features_dir / SHEET_NAME
    scores = np.stack([labels[clip_id] for clip_id in units]) if labels else None
    rows = [(clip_id, plan.prints[clip_id]) for clip_id in units]
    content = json.dumps([rows, None if scores is None else scores.tolist()])
    digest = hashlib.sha256(content.encode()).hexdigest()
    earlier = earlier_metadata(features_dir)
    labelled = traits_entry(traits)
    is_same = (
        earlier is not None
        and earlier.get("content") == digest
        and earlier.get("traits") == labelled.get("traits")
    )
    if not is_same or not sheet.exists():
        write_contact_sheet(features_dir, shown)
    if earlier is None or not is_same or not is_whole(features_dir, earlier):
        metadata = {
            "encoder": plan.description,
            "settings": plan.settings,
            **labelled,
            "annotations": {path.name: file_hash(path) for path in annotations},
            "content": digest,
        }
        gather(features_dir, units, labels=scores, metadata=metadata)
    table = read_clips(features_dir / "clips.csv")
    return ExtractionOutcome(
        features_dir=features_dir,
        warnings={
            clip_id: text
            for clip_id, text in zip(table["clip_id"], table["warnings"], strict=True)
            if text
        },
        contact_sheet_path=sheet if sheet.exists() else None,
        traits=traits,
        **outcome,
    )


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtractionError(
            f"extraction needs the packages of the extra `video` ({', '.join(missing)} not found): "
            f"{install_command('video')}"
        )


def _check_request(
    videos_dir: Path | None,
    face_dir: Path | None,
    flow_dir: Path | None,
    *,
    num_workers: int,
    shard: tuple[int, int] | None,
) -> None:
    if videos_dir is None and (face_dir is None or flow_dir is None):
        missing = "flow_dir" if face_dir else "face_dir" if flow_dir else "videos_dir"
        raise ConfigError(
            f"extract needs --videos_dir, or both --face_dir and --flow_dir; --{missing} is "
            f"missing. Motion cannot be measured on single face images."
        )
    if num_workers < 1:
        raise ConfigError(f"num_workers must be at least 1; got {num_workers}.")
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise ConfigError(f"shard i/n needs 1 <= i <= n; got {shard[0]}/{shard[1]}.")


def _nothing_done(failed: Sequence[Result], path: Path) -> str:
    first = failed[0]
    return (
        f"none of {len(failed)} clips could be used; the first, {first.clip_id}: {first.reason} "
        f"({first.stage}). {path} lists all of them."
    )
