"""Find the files of each clip."""

import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import ExtractionError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean_path
from pipeline.data.clip_names import VIDEO_SUFFIXES, clip_stem
from pipeline.data.groups import source_group
from pipeline.data.join import JoinedLabels
from pipeline.extraction.tasks import ClipSource, Result, Stage

# fmt: off
IMAGE_SUFFIXES: Final = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})
# fmt: on
FLOW_SUFFIXES: Final = frozenset({".npy"})
_TEXT_SUFFIXES: Final = frozenset({".mts", ".ts"})
"""Suffixes of videos that are also suffixes of TypeScript files."""
_PROBED_BYTES: Final = 4096
_MAX_SUFFIXES: Final = 5
CACHE_NAME: Final = ".units"
"""Name of the folder for cache files. Only output directories of `extract` contain this folder."""


@dataclass(frozen=True, kw_only=True)
class FoundClips:
    """Clips in one directory."""

    by_id: Mapping[str, Path]
    """Clip id -> path, sorted by path. The id is the name of the file or folder. If this name is
    not unique, the id is the path relative to the directory."""
    unreadable: tuple[tuple[Path, OSError], ...]
    """Folders that cannot be read."""
    used: Set[Path]
    """Files that belong to clips."""
    files: Set[Path]
    """All files in the directory, except hidden files."""


def find_sources(
    videos_dir: Path | None, face_dir: Path | None, flow_dir: Path | None
) -> tuple[list[ClipSource], list[Result], list[Result]]:
    """Find the clips in the given directories, and join their files by clip id.

    Returns:
        The usable clips, sorted by id; the unusable clips; and the files that belong to no clip.

    Raises:
        ExtractionError: If a directory is missing or contains no clip, or if no clip is usable.
    """
    found: dict[str, FoundClips] = {}
    if videos_dir:
        found["video"] = find_videos(videos_dir)
    if face_dir:
        found["face_dir"] = find_folders(face_dir, IMAGE_SUFFIXES)
    if flow_dir:
        found["flow_dir"] = find_folders(flow_dir, FLOW_SUFFIXES)
    sources, incomplete = _join({name: each.by_id for name, each in found.items()})
    faults = {source.clip_id: _name_fault(source.clip_id) for source in sources}
    usable = [source for source in sources if not faults[source.clip_id]]
    if not usable:
        raise ExtractionError(
            f"none of {len(sources) + len(incomplete)} clips can be used. Each clip needs a UTF-8 "
            f"name and must be in every given directory. Check the names."
        )
    reason = "is not in every given directory"
    failed = [_failure(clip_id, "open", reason) for clip_id in incomplete]
    failed += [_failure(clip_id, "name", fault) for clip_id, fault in faults.items() if fault]
    failed += [
        Result.unreadable(_printable(str(folder)), error)
        for each in found.values()
        for folder, error in each.unreadable
    ]
    # The given directories may overlap, so one file can be found in two of them.
    files = {path for each in found.values() for path in each.files}
    unused = sorted(files.difference(*(each.used for each in found.values())))
    reason = "is not used: its suffix is not supported, or the file is outside the clip folders"
    return usable, failed, [_failure(str(path), "suffix", reason) for path in unused]


def select_annotated(
    sources: Sequence[ClipSource], joined: JoinedLabels
) -> tuple[list[ClipSource], list[Result]]:
    """Return the annotated clips, and one failure for each clip without scores.

    Raises:
        ExtractionError: If no clip is annotated.
    """
    if not joined.is_labelled.any():
        raise ExtractionError(
            f"none of the {len(sources)} clips is annotated. The first is {joined.match.nearest}. "
            "Check that files and annotations use the same names."
        )
    reason = "no annotation file contains scores for this clip"
    failed = [_failure(clip_id, "annotation", reason) for clip_id in joined.match.missing]
    return list(itertools.compress(sources, joined.is_labelled)), failed


def clip_path(source: ClipSource, *directories: Path | None) -> str:
    """Return the path of a clip below the given directory that contains it, with `/`."""
    path = next(filter(None, (source.video, source.face_dir, source.flow_dir)))
    parent = next((each for each in directories if each and path.is_relative_to(each)), path.parent)
    return path.relative_to(parent).as_posix()


def find_videos(videos_dir: Path) -> FoundClips:
    """Find the videos in a directory and its subfolders. Hidden files and folders are ignored.

    Raises:
        ExtractionError: If the directory does not exist or contains no video.
    """
    files, unreadable = _list_files(videos_dir)
    found = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    videos = [path for path in found if not _is_text(path)]
    if not videos:
        raise ExtractionError(
            f"{videos_dir}: contains no video ({', '.join(sorted(VIDEO_SUFFIXES))}); "
            f"found {count_suffixes(files)}. "
            "Give the directory of the videos. Its subfolders are searched too."
        )
    by_id = _assign_ids(videos_dir, videos)
    return FoundClips(by_id=by_id, unreadable=unreadable, used={*videos}, files={*files})


def find_folders(directory: Path, suffixes: Set[str]) -> FoundClips:
    """Find the folders that contain files with these suffixes. Each folder is one clip.

    Raises:
        ExtractionError: If the directory does not exist or contains no such folder.
    """
    files, unreadable = _list_files(directory)
    used = [path for path in files if path.suffix.lower() in suffixes and path.parent != directory]
    if not used:
        raise ExtractionError(
            f"{directory}: contains no folder with {', '.join(sorted(suffixes))} files; "
            f"found {count_suffixes(files)}. "
            "Give a directory with one folder for each clip. Folder and clip need the same name."
        )
    by_id = _assign_ids(directory, sorted({path.parent for path in used}))
    return FoundClips(by_id=by_id, unreadable=unreadable, used={*used}, files={*files})


def count_suffixes(paths: Iterable[Path | str]) -> str:
    """Count the files with each suffix; return the largest counts as text: `2 .txt, 1 .png`."""
    numbers = Counter(Path(path).suffix.lower() or "without a suffix" for path in paths)
    shown = numbers.most_common(_MAX_SUFFIXES)
    parts = [f"{number} {suffix}" for suffix, number in shown]
    rest = numbers.total() - sum(number for _, number in shown)
    return ", ".join([*parts, *([f"{rest} others"] if rest else [])]) or "no file"


def _join(given: Mapping[str, Mapping[str, Path]]) -> tuple[list[ClipSource], list[str]]:
    """Join the files of each clip; return the complete clips and the ids of incomplete clips.

    Clip ids are compared without video suffix. If two clips of a directory differ only in the
    suffix, the suffix is compared too.
    """
    ambiguous = {
        stem
        for by_id in given.values()
        for stem, number in Counter(map(clip_stem, by_id)).items()
        if number > 1
    }
    ids: dict[str, str] = {}
    paths: dict[str, dict[str, Path]] = {}
    for name, by_id in given.items():  # videos come first, so ids contain their suffix
        for clip_id, path in by_id.items():
            key = clip_id if clip_stem(clip_id) in ambiguous else clip_stem(clip_id)
            ids.setdefault(key, clip_id)
            paths.setdefault(key, {}).setdefault(name, path)
    sources, incomplete = [], []
    for key, clip_id in sorted(ids.items()):
        if len(paths[key]) == len(given):
            sources.append(ClipSource(clip_id=clip_id, **paths[key]))
        else:
            incomplete.append(clip_id)
    return sources, incomplete


def _is_text(path: Path) -> bool:
    if (
        path.suffix.lower() not in _TEXT_SUFFIXES or not path.is_file()
    ):  # reading a pipe would block
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(_PROBED_BYTES)
    except OSError:  # the worker reports the error
        return False
    return bool(beginning) and b"\0" not in beginning  # transport streams contain zero bytes


def _list_files(directory: Path) -> tuple[list[Path], tuple[tuple[Path, OSError], ...]]:
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        hint = f"Check the path.{did_you_mean_path(directory)}"
        raise ExtractionError(f"{directory}: must be a directory, but {found}. {hint}")
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
    # A name such as `1.mp4` does not contain the name of a source video. If such a name occurs
    # twice, the relative path of each clip with such a name is its id. Each folder is one group.
    times = Counter(_identifier(path.name) for path in paths)
    by_folder = any(number > 1 and _is_plain(name) for name, number in times.items())
    by_id: dict[str, Path] = {}
    for path in paths:
        clip_id = _identifier(path.name)
        if times[clip_id] > 1 or (by_folder and _is_plain(clip_id)):
            clip_id = _identifier(path.relative_to(directory).as_posix())
        if clip_id in by_id:
            raise ExtractionError(
                f"{directory}: the names of {str(by_id[clip_id])!r} and {str(path)!r} look alike, "
                f"so both clips have the same id. Rename or remove one clip."
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
