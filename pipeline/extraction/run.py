"""Extract a feature set from directories of clips. A stopped extraction can be continued."""

import contextlib
import hashlib
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import filelock

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ConfigError, ExtractionError
from pipeline.core.files import file_hash
from pipeline.core.installation import install_command
from pipeline.core.traits import TraitLabel, traits_entry
from pipeline.extraction.dispatch import run_tasks, show_progress
from pipeline.extraction.tasks import Job, Result, Task, write_failures
from pipeline.workers.pool import Engine

if TYPE_CHECKING:
    from pipeline.data.readers.label_table import LabelOptions
    from pipeline.extraction.clip_list import ClipList
    from pipeline.extraction.plan import Plan

_logger = logging.getLogger(__name__)

FAILURES_NAME: Final = "failures.csv"
DEFAULT_WORKERS: Final = 2

_PACKAGES: Final = ("av", "cv2", "mtcnn")


@dataclass(frozen=True, kw_only=True)
class ExtractionOutcome:
    """Result of an extraction: counts of clips, failures, warnings and output paths."""

    features_dir: Path
    num_done: int = 0
    """Number of clips whose features were extracted in this call."""
    num_skipped: int = 0
    """Number of clips whose features were already cached."""
    failed: tuple[Result, ...] = ()
    """Clips that failed, each with the stage and the reason of the failure."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """Clip id -> text of the warnings; only for clips in the feature set that have warnings."""
    failures_path: Path
    """Path of the table of failed clips and unused files. A shard without clips has no table."""
    contact_sheet_path: Path | None = None
    """Path of the contact sheet; None if no videos were decoded."""
    traits: tuple[TraitLabel, ...] = ()
    """Scoring direction of each trait; empty if the annotations do not state directions."""

    @property
    def num_clips(self) -> int:
        """Number of clips in the feature set."""
        return self.num_done + self.num_skipped


def extract_features(
    *,
    features_dir: Path,
    videos_dir: Path | None = None,
    face_dir: Path | None = None,
    flow_dir: Path | None = None,
    annotations: Sequence[Path] = (),
    label_options: "LabelOptions | None" = None,
    groups: str = "",
    config: ExtractionConfig | None = None,
    num_workers: int = DEFAULT_WORKERS,
    engine: Engine = "local",
    shard: tuple[int, int] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> ExtractionOutcome:
    """Extract a feature set from clips.

    The features of each clip are cached in a file below `features_dir`. Therefore a second call
    continues a stopped extraction. It also tries failed clips again.

    Args:
        features_dir: Output directory. If it contains an earlier extraction with the same
            settings, the earlier extraction is continued.
        videos_dir: Directory of the videos. Its subfolders are searched too.
        face_dir: Directory with one folder of face images per clip, for the static stream.
        flow_dir: Directory with one folder of flow fields per clip, for the dynamic stream.
        annotations: Annotation files, see `read_labels`. Their trait scores become labels. Clips
            without scores are listed as failed.
        label_options: Columns and scale of label tables; None for the defaults.
        groups: Value of `--groups`: a table, or a rule for `assign_groups`. Empty: the column
            `group` of the annotations, or the default rule.
        config: Settings; None for the defaults.
        num_workers: Number of worker processes or Ray actors.
        engine: `local` for processes on this machine, `ray` for a Ray cluster.
        shard: `(i, n)` for part i of n parts of the clips; i is counted from 1. Each part is
            written to its own folder. The n folders together are one feature set.
        report: Function that gets one line of text about the groups, for the user.

    Raises:
        AnnotationError: If an annotation file is not valid.
        ConfigError: If the input of a stream is missing, an option is invalid, or a clip has no
            group.
        ExtractionError: If no clip can be used, if packages or weights are missing, if
            `features_dir` contains files of other programs or features that were extracted with
            other settings, or if another extraction is writing to `features_dir`.
    """
    _check_packages()
    _check_request(videos_dir, face_dir, flow_dir, num_workers=num_workers, shard=shard)
    job = Job(
        config=config or ExtractionConfig(),
        has_faces=face_dir is not None,
        has_flow=flow_dir is not None,
    )
    from pipeline.data.clip_names import UNMATCHED_NAME, describe_unmatched, write_unmatched
    from pipeline.extraction.clip_list import list_clips
    from pipeline.extraction.plan import plan_extraction
    from pipeline.extraction.sources import count_suffixes

    clips = list_clips(
        videos_dir,
        face_dir,
        flow_dir,
        annotations=annotations,
        label_options=label_options,
        groups=groups,
    )
    if clips.unused:
        _logger.warning(
            "ignored files: %s. They are listed in %s.",
            count_suffixes(each.clip_id for each in clips.unused),
            FAILURES_NAME,
        )
    report(clips.groups.description)
    if shard is not None:
        clips = clips.part(shard)
        features_dir = _shard_dir(features_dir, shard)
    failures_path = features_dir / FAILURES_NAME
    if not clips.sources and not clips.failed:  # a shard without clips
        return ExtractionOutcome(features_dir=features_dir, failures_path=failures_path)
    with _locked(features_dir):
        plan = plan_extraction(job, clips.sources, features_dir)
        if clips.unmatched is not None:
            path = features_dir / UNMATCHED_NAME
            write_unmatched(path, clips.unmatched)
            if len(clips.unmatched):
                report(describe_unmatched(path, len(clips.unmatched)))
        group_of = clips.columns["group"].to_dict()
        tasks = plan.remaining(plan.tasks, shown=plan.shown_clips(plan.tasks, group_of))
        results = _run(job, tasks, num_workers=num_workers, engine=engine)
        failed = [*clips.failed, *plan.failed, *(each for each in results if not each.is_done)]
        write_failures(failures_path, [*failed, *clips.unused])
        failed_ids = {result.clip_id for result in failed}
        done = {clip_id: task for clip_id, task in plan.tasks.items() if clip_id not in failed_ids}
        if not done:
            raise ExtractionError(
                f"none of {len(failed)} clips could be used. The first is {failed[0].clip_id}: "
                f"{failed[0].reason} ({failed[0].stage}). {failures_path} lists all of them."
            )
        # Later clips replace failed clips on the contact sheet.
        shown = plan.shown_clips(done, group_of)
        replacements = plan.remaining(shown, shown=shown)
        _run(job, replacements, num_workers=num_workers, engine=engine)
        warnings, sheet = _write_set(
            plan, features_dir, done, clips, annotations, report, shown=shown
        )
    return ExtractionOutcome(
        features_dir=features_dir,
        num_done=sum(result.is_done for result in results),
        num_skipped=len(plan.tasks) - len(tasks),
        failed=tuple(failed),
        warnings=warnings,
        failures_path=failures_path,
        contact_sheet_path=sheet,
        traits=clips.traits,
    )


def _shard_dir(features_dir: Path, shard: tuple[int, int]) -> Path:
    from pipeline.extraction.sources import CACHE_NAME

    if (features_dir / CACHE_NAME).exists():
        raise ExtractionError(
            f"{features_dir}: contains an extraction without shards, so shards would be ignored. "
            "Give another --features_dir."
        )
    for other in features_dir.glob("shard-*-of-*"):
        if other.name.rpartition("-")[2] != f"{shard[1]:04d}":
            raise ExtractionError(
                f"{features_dir}: contains {other.name}. With {shard[1]} shards, some clips would "
                "be in two shards. Give another --features_dir, or move the old shards away."
            )
    return features_dir / f"shard-{shard[0]:04d}-of-{shard[1]:04d}"


@contextlib.contextmanager
def _locked(features_dir: Path) -> Iterator[None]:
    from pipeline.extraction.assemble import LOCK_NAME, read_earlier_metadata

    read_earlier_metadata(features_dir)  # raises an error for files of other programs
    try:
        features_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{features_dir}: cannot be created ({error.strerror})."
        raise ExtractionError(f"{message} Give another --features_dir.") from None
    lock = filelock.FileLock(features_dir / LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ExtractionError(
            f"{features_dir}: another extraction is writing to this directory. Wait until it "
            "ends, or give each extraction its own --shard."
        ) from None
    try:
        yield
    except OSError as error:
        raise ExtractionError(
            f"{error.filename or features_dir}: {error.strerror or error}. Finished clips are "
            "kept. Run the same command again to extract the other clips."
        ) from error
    finally:
        lock.release()


def _run(job: Job, tasks: Sequence[Task], *, num_workers: int, engine: Engine) -> list[Result]:
    if not tasks:
        return []
    results = run_tasks(job, tasks, num_workers=num_workers, engine=engine)
    return list(show_progress(results, len(tasks)))


def _write_set(
    plan: "Plan",
    features_dir: Path,
    tasks: Mapping[str, Task],
    clips: "ClipList",
    annotations: Sequence[Path],
    report: Callable[[str], None],
    *,
    shown: Sequence[str],
) -> tuple[dict[str, str], Path | None]:
    """Write the feature set and the contact sheet, unless they exist with the same content.

    `shown` contains the clips on the contact sheet.

    Returns:
        Clip id -> text of the warnings, and the path of the contact sheet; None without a sheet.
    """
    import numpy as np

    from pipeline.data.clip_table import read_clips
    from pipeline.data.groups import describe_groups
    from pipeline.data.shard import CLIPS_NAME
    from pipeline.extraction.assemble import (
        SHEET_NAME,
        assemble_feature_set,
        is_complete,
        read_earlier_metadata,
        write_contact_sheet,
    )

    sheet = features_dir / SHEET_NAME
    paths = {clip_id: task.path for clip_id, task in tasks.items()}
    labels = np.stack([clips.scores[clip_id] for clip_id in tasks]) if clips.scores else None
    columns = clips.columns.loc[list(tasks)]
    rows = [(clip_id, task.fingerprint) for clip_id, task in tasks.items()]
    values = None if labels is None else labels.tolist()
    content = json.dumps([rows, values, columns.to_dict("list")])
    content_hash = hashlib.sha256(content.encode()).hexdigest()
    found = read_earlier_metadata(features_dir) or {}
    trait_labels = traits_entry(clips.traits)
    is_same = found.get("content") == content_hash and found.get("traits") == trait_labels.get(
        "traits"
    )
    if not is_same or not sheet.exists():
        write_contact_sheet(features_dir, [paths[clip_id] for clip_id in shown])
    if not is_same or not is_complete(features_dir, found):
        metadata = {
            "encoder": plan.description,
            "settings": plan.settings,
            **trait_labels,
            "annotations": {path.name: file_hash(path) for path in annotations},
            "content": content_hash,
        }
        assemble_feature_set(features_dir, paths, columns=columns, labels=labels, metadata=metadata)
    table = read_clips(features_dir / CLIPS_NAME)
    if table["group"].tolist() != columns["group"].tolist():
        counts = describe_groups(len(table), table["group"].nunique())
        report(f"{features_dir / CLIPS_NAME}: groups were changed by hand and are kept. {counts}")
    texts = dict(zip(table["clip_id"], table["warnings"], strict=True))
    warnings = {clip_id: text for clip_id, text in texts.items() if text}
    return warnings, sheet if sheet.exists() else None


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExtractionError(
            f"packages for the extraction are missing ({', '.join(missing)}). Install the extra "
            f"`video`: {install_command('video')}"
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
