"""Find the clips: their videos, face images and flow fields, and their annotated scores."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ExtractionError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean_path
from pipeline.data.prepare import VIDEO_SUFFIXES, clip_stem, join_annotations
from pipeline.data.readers.annotations import Annotations, group_of
from pipeline.extraction.tasks import ClipSource, Result, Stage

# fmt: off
IMAGE_SUFFIXES: Final = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})
# fmt: on
FLOW_SUFFIXES: Final = frozenset({".npy"})
_TEXT_SUFFIXES: Final = frozenset({".mts", ".ts"})
"""Video suffixes that TypeScript also uses."""
_PROBED_BYTES: Final = 4096
_MAX_SUFFIXES: Final = 5
CACHE_NAME: Final = ".units"
"""Folder of the cache files. A directory with it was written by an extraction."""


@dataclass(frozen=True, kw_only=True)
class FoundClips:
    """Clips in one directory."""

    by_id: Mapping[str, Path]
    """Clip id -> path, in the order of the paths. The id is the name of the file or folder, or
    the path below the directory if names are not unique."""
    unreadable: tuple[tuple[Path, OSError], ...]
    """Folders that cannot be read."""
    used: Set[Path]
    """Files that belong to clips."""
    files: Set[Path]
    """All files except hidden files."""


def find_sources(
    videos_dir: Path | None, face_dir: Path | None, flow_dir: Path | None
) -> tuple[list[ClipSource], list[Result], list[Result]]:
    """Find the clips in the given directories, and join them by id.

    Returns:
        The clips in the order of their ids; the unusable clips; and the files that do not belong
        to a clip.

    Raises:
        ExtractionError: If a directory is missing or has no clip, or no clip is usable.
    """
    found = {
        "videos": find_videos(videos_dir) if videos_dir else None,
        "face_dirs": find_folders(face_dir, IMAGE_SUFFIXES) if face_dir else None,
        "flow_dirs": find_folders(flow_dir, FLOW_SUFFIXES) if flow_dir else None,
    }
    sources, incomplete = join_sources(
        **{name: None if each is None else each.by_id for name, each in found.items()}
    )
    faults = {source.clip_id: _name_fault(source.clip_id) for source in sources}
    usable = [source for source in sources if not faults[source.clip_id]]
    if not usable:
        raise ExtractionError(
            f"none of {len(sources) + len(incomplete)} clips can be used: each needs a name in "
            f"UTF-8 and a place in every given directory. Check the names."
        )
    reason = "is not in every given directory"
    failed = [_failure(clip_id, "open", reason) for clip_id in incomplete]
    failed += [_failure(clip_id, "name", fault) for clip_id, fault in faults.items() if fault]
    searched = [each for each in found.values() if each is not None]
    failed += [
        Result.unreadable(_printable(str(folder)), error)
        for each in searched
        for folder, error in each.unreadable
    ]
    # The given directories may overlap.
    files = {path for each in searched for path in each.files}
    unused = sorted(files.difference(*(each.used for each in searched)))
    reason = "is not used: it does not have the suffix of a clip, or is outside the clip folders"
    return usable, failed, [_failure(str(path), "suffix", reason) for path in unused]


def find_labels(
    sources: list[ClipSource], annotations: Annotations | None
) -> tuple[list[ClipSource], dict[str, FloatArray], list[Result]]:
    """Find the annotated scores of each clip.

    Returns:
        The annotated clips; clip id -> scores in OCEAN order, shape (5,); and the other clips, as
        failures. Without annotations: all clips and no scores.

    Raises:
        ExtractionError: If no clip is annotated.
        AnnotationError: If two clips have the same name in the annotations.
    """
    if annotations is None:
        return sources, {}, []
    joined = join_annotations(annotations, [each.clip_id for each in sources])
    rows = zip(sources, joined.labels, joined.is_labelled, strict=True)
    scores = {source: row for source, row, is_labelled in rows if is_labelled}
    if not scores:
        raise ExtractionError(
            f"none of the {len(sources)} clips is annotated. The first is {joined.nearest}. "
            "Check that files and annotations use the same names."
        )
    reason = "no annotation file has scores for it"
    failed = [_failure(clip_id, "annotation", reason) for clip_id in joined.unlabelled]
    return [*scores], {source.clip_id: row for source, row in scores.items()}, failed


def source_group(clip_id: str) -> str:
    """Return the source video or person of a clip: its file name before the first dot.

    If the clip is named by its path and its file name has no dot (`anna/1.mp4`), the group is
    the folder.
    """
    folder, _, name = clip_id.rpartition("/")
    return folder if folder and _is_plain(name) else group_of(name)


def find_videos(videos_dir: Path) -> FoundClips:
    """Find the videos below a directory, except hidden ones.

    Raises:
        ExtractionError: If the directory does not exist or has no video.
    """
    files, unreadable = _list_files(videos_dir)
    found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    videos = [path for path in found if not _is_text(path)]
    if not videos:
        raise ExtractionError(
            f"{videos_dir}: contains no video ({', '.join(sorted(VIDEO_SUFFIXES))}); "
            f"found {count_suffixes(files)}. "
            "Give the directory of the clips. They may be in folders below it."
        )
    by_id = _assign_ids(videos_dir, videos)
    return FoundClips(by_id=by_id, unreadable=unreadable, used={*videos}, files={*files})


def find_folders(directory: Path, suffixes: Set[str]) -> FoundClips:
    """Find the folders with files of these suffixes, one folder per clip.

    Raises:
        ExtractionError: If the directory does not exist or has no such folder.
    """
    files, unreadable = _list_files(directory)
    used = [path for path in files if path.suffix.lower() in suffixes and path.parent != directory]
    if not used:
        raise ExtractionError(
            f"{directory}: contains no folder with {', '.join(sorted(suffixes))} files; "
            f"found {count_suffixes(files)}. "
            "Give a directory with one folder for each clip, with the name of the clip."
        )
    by_id = _assign_ids(directory, sorted({path.parent for path in used}))
    return FoundClips(by_id=by_id, unreadable=unreadable, used={*used}, files={*files})


def count_suffixes(paths: Iterable[Path | str]) -> str:
    """Return the number of files for each of the most frequent suffixes, as text."""
    numbers = Counter(Path(path).suffix.lower() or "without a suffix" for path in paths)
    shown = numbers.most_common(_MAX_SUFFIXES)
    parts = [f"{number} {suffix}" for suffix, number in shown]
    rest = numbers.total() - sum(number for _, number in shown)
    return ", ".join([*parts, *([f"{rest} others"] if rest else [])]) or "no file"


def join_sources(
    *,
    videos: Mapping[str, Path] | None,
    face_dirs: Mapping[str, Path] | None,
    flow_dirs: Mapping[str, Path] | None,
) -> tuple[list[ClipSource], list[str]]:
    """Join the files of each clip by id.

    The video suffix is ignored, except if two clips of a directory differ only in the suffix.

    Returns:
        The complete clips, and the ids of clips with missing parts, both in the order of the ids.
    """
    given = {"video": videos, "face_dir": face_dirs, "flow_dir": flow_dirs}
    known = {name: by_id for name, by_id in given.items() if by_id is not None}
    ambiguous = {
        stem
        for by_id in known.values()
        for stem, number in Counter(map(clip_stem, by_id)).items()
        if number > 1
    }
    parts = {
        name: {
            clip_id if clip_stem(clip_id) in ambiguous else clip_stem(clip_id): (clip_id, path)
            for clip_id, path in by_id.items()
        }
        for name, by_id in known.items()
    }
    # Videos come first, so the id with the suffix is kept.
    ids: dict[str, str] = {}
    for part in parts.values():
        for stem, (clip_id, _) in part.items():
            ids.setdefault(stem, clip_id)
    sources, incomplete = [], []
    for stem, clip_id in sorted(ids.items()):
        paths = {name: part[stem][1] for name, part in parts.items() if stem in part}
        if len(paths) == len(parts):
            sources.append(ClipSource(clip_id=clip_id, **paths))
        else:
            incomplete.append(clip_id)
    return sources, incomplete


def _is_text(path: Path) -> bool:
    if path.suffix.lower() not in _TEXT_SUFFIXES or not path.is_file():  # a named pipe would block
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(_PROBED_BYTES)
    except OSError:  # the worker reports the reason
        return False
    return bool(beginning) and b"\0" not in beginning  # transport streams have zeros


def _list_files(directory: Path) -> tuple[list[Path], tuple[tuple[Path, OSError], ...]]:
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        near = did_you_mean_path(directory)
        raise ExtractionError(f"{directory}: {found}, expected a directory. Check the path.{near}")
    files: list[Path] = []
    errors: list[OSError] = []
    visited: set[tuple[int, int]] = set()  # links to folders may form a loop
    for folder, folders, names in os.walk(directory, followlinks=True, onerror=errors.append):
        is_output = CACHE_NAME in folders
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        state = Path(folder).stat()
        if (state.st_dev, state.st_ino) in visited:
            folders[:] = []
            continue
        visited.add((state.st_dev, state.st_ino))
        if not is_output:
            files += [Path(folder) / name for name in names if not name.startswith(".")]
    return sorted(files), tuple((Path(error.filename), error) for error in errors)


def _assign_ids(directory: Path, paths: Sequence[Path]) -> dict[str, Path]:
    # A name without a dot does not contain its source. If such a name occurs twice, all clips
    # with such names get their path as id, so that each folder is one group.
    times = Counter(_identifier(path.name) for path in paths)
    by_folder = any(number > 1 and _is_plain(name) for name, number in times.items())
    by_id: dict[str, Path] = {}
    for path in paths:
        clip_id = _identifier(path.name)
        if times[clip_id] > 1 or (by_folder and _is_plain(clip_id)):
            clip_id = _identifier(path.relative_to(directory).as_posix())
        if clip_id in by_id:
            raise ExtractionError(
                f"{directory}: contains {str(by_id[clip_id])!r} and {str(path)!r}, whose names "
                f"look alike and give the same id. Rename or remove one of them."
            )
        by_id[clip_id] = path
    return by_id


def _identifier(name: str) -> str:
    # `_name_fault` reports control characters, so they are kept here.
    has_control = any(unicodedata.category(character) == "Cc" for character in name)
    return name if has_control else normalize_identifier(name)


def _is_plain(name: str) -> bool:
    return "." not in clip_stem(name)


def _name_fault(clip_id: str) -> str:
    try:
        clip_id.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not UTF-8 text"
    if any(unicodedata.category(character) == "Cc" for character in clip_id):
        return "the name contains a control character, such as a line break"
    return "" if source_group(clip_id).strip() else "the name is blank before its first dot"


def _failure(name: str, stage: Stage, reason: str) -> Result:
    return Result(clip_id=_printable(name), stage=stage, reason=reason)


def _printable(text: str) -> str:
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(
        f"\\x{ord(each):02x}" if unicodedata.category(each) == "Cc" else each for each in readable
    )
