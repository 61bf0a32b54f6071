"""Which clips there are, and where their frames, face images and flow fields lie."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import ExtractionError
from pipeline.core.near_names import did_you_mean_path
from pipeline.data.annotations import group_of
from pipeline.data.join import VIDEO_SUFFIXES, clip_stem
from pipeline.extraction.worker import Result

IMAGE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
FLOW_SUFFIXES: Final = frozenset({".npy"})
UNITS_NAME: Final = ".units"
"""Where the files of the clips lie; a directory that has it is an extraction's own."""


@dataclass(frozen=True, kw_only=True)
class ClipSource:
    """Where one clip comes from; at least one path is set."""

    clip_id: str
    """Its id in the feature set."""
    video: Path | None = None
    """A video file."""
    face_dir: Path | None = None
    """A folder of face images."""
    flow_dir: Path | None = None
    """A folder of flow fields."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """What there is of it."""
        return tuple(path for path in (self.video, self.face_dir, self.flow_dir) if path)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a directory holds."""

    by_id: Mapping[str, Path]
    """Clip id -> path, in the order of the paths. The id is the name of the file or folder, as
    annotations have it, or where names do not do, the path below the directory."""
    unreadable: tuple[tuple[Path, OSError], ...]
    """Folders that could not be looked into."""


def find_sources(
    videos_dir: Path | None, face_dir: Path | None, flow_dir: Path | None
) -> tuple[list[ClipSource], list[Result]]:
    """Find the clips in the directories that are given, joined by their ids.

    Returns:
        The clips in the order of their ids, and those that cannot be used, as failures.

    Raises:
        ExtractionError: If a directory is not there, or holds no clip, or none can be used.
    """
    found = {
        "videos": find_videos(videos_dir) if videos_dir else None,
        "face_dirs": find_folders(face_dir, IMAGE_SUFFIXES) if face_dir else None,
        "flow_dirs": find_folders(flow_dir, FLOW_SUFFIXES) if flow_dir else None,
    }
    sources, incomplete = join_sources(
        **{name: None if each is None else each.by_id for name, each in found.items()}
    )
    faults = {source.clip_id: _fault_of_name(source.clip_id) for source in sources}
    usable = [source for source in sources if not faults[source.clip_id]]
    if not usable:
        raise ExtractionError(
            f"none of {len(sources) + len(incomplete)} clips can be used: each needs a name in "
            f"UTF-8 and a place in every directory that is given. Check how they are named."
        )
    reason = "is not in each of the directories that were given"
    failed = [Result(clip_id=_shown(each), stage="open", reason=reason) for each in incomplete]
    failed += [
        Result(clip_id=_shown(clip_id), stage="name", reason=fault)
        for clip_id, fault in faults.items()
        if fault
    ]
    failed += [
        Result.unreadable(_shown(str(folder)), error)
        for each in found.values()
        if each is not None
        for folder, error in each.unreadable
    ]
    return usable, failed


def source_group(clip_id: str) -> str:
    """Return what a clip was cut from: the part of its file's name before the first dot.

    Where a name says nothing of that (`anna/1.mp4`, called by its path as there are several
    of a name), it is the folder.
    """
    folder, _, name = clip_id.rpartition("/")
    return folder if folder and _is_plain(name) else group_of(name)


def find_videos(videos_dir: Path) -> Found:
    """Find the videos below a directory, hidden ones apart.

    Raises:
        ExtractionError: If there is no such directory, or no video in it.
    """
    files, unreadable = _files_below(videos_dir, VIDEO_SUFFIXES)
    if not files:
        raise ExtractionError(
            f"{videos_dir}: holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}). "
            f"Give the directory that holds the clips, in it or in folders below it."
        )
    return Found(by_id=_by_id(videos_dir, files), unreadable=unreadable)


def find_folders(directory: Path, suffixes: Iterable[str]) -> Found:
    """Find the folders that hold files with one of `suffixes`, one folder a clip.

    Raises:
        ExtractionError: If there is no such directory, or no such folder in it.
    """
    wanted = frozenset(suffixes)
    files, unreadable = _files_below(directory, wanted)
    folders = sorted({path.parent for path in files} - {directory})
    if not folders:
        raise ExtractionError(
            f"{directory}: holds no folder with {', '.join(sorted(wanted))} files. Give a "
            f"directory with one folder for each clip, named as the clip is."
        )
    return Found(by_id=_by_id(directory, folders), unreadable=unreadable)


def join_sources(
    *,
    videos: Mapping[str, Path] | None,
    face_dirs: Mapping[str, Path] | None,
    flow_dirs: Mapping[str, Path] | None,
) -> tuple[list[ClipSource], list[str]]:
    """Join what there is of each clip by its id, with or without a video suffix.

    Where two clips of a directory differ in nothing but the suffix, it stays part of their names.

    Returns:
        The clips of which everything is there, and the ids of those of which a part is
        missing, both in the order of their ids.
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
    # A video's id has the suffix that others lack, so it is the one to keep.
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


def _files_below(
    directory: Path, suffixes: Iterable[str]
) -> tuple[list[Path], tuple[tuple[Path, OSError], ...]]:
    """Return the files with one of `suffixes`, and the folders that cannot be looked into.

    Links to folders are followed, each folder once: a link may lead back to where it is. What
    an extraction has written into one of them is no clip.
    """
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        near = did_you_mean_path(directory)
        raise ExtractionError(f"{directory}: {found}, expected a directory. Check the path.{near}")
    wanted = frozenset(suffixes)
    found_files: list[Path] = []
    errors: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(directory, followlinks=True, onerror=errors.append):
        is_written = UNITS_NAME in folders
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        state = Path(folder).stat()
        if (state.st_dev, state.st_ino) in seen:
            folders[:] = []
            continue
        seen.add((state.st_dev, state.st_ino))
        found_files += [
            Path(folder) / name
            for name in names
            if not is_written and not name.startswith(".") and Path(name).suffix.lower() in wanted
        ]
    return sorted(found_files), tuple((Path(error.filename), error) for error in errors)


def _by_id(directory: Path, paths: Sequence[Path]) -> dict[str, Path]:
    """Return the paths by name, or by the path below the directory where names do not do.

    Names without a dot say nothing of the source. Where one of them is there twice, folders
    tell the sources apart, and all such clips are called by them: else one person would be in
    the group of a folder with one clip, and in that of a name with the next.
    """
    times = Counter(path.name for path in paths)
    by_folder = any(number > 1 and _is_plain(name) for name, number in times.items())
    return {
        path.relative_to(directory).as_posix()
        if times[path.name] > 1 or (by_folder and _is_plain(path.name))
        else path.name: path
        for path in paths
    }


def _is_plain(name: str) -> bool:
    return "." not in clip_stem(name)


def _fault_of_name(clip_id: str) -> str:
    """Return why a name cannot stand in a table; empty if it can."""
    try:
        clip_id.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not UTF-8 text"
    if any(unicodedata.category(character) == "Cc" for character in clip_id):
        return "the name holds a control character, such as the end of a line"
    return "" if source_group(clip_id).strip() else "the name is blank before its first dot"


def _shown(text: str) -> str:
    """Return a name as it can be shown in one line."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(
        f"\\x{ord(each):02x}" if unicodedata.category(each) == "Cc" else each for each in readable
    )
