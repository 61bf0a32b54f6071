"""Which clips there are, and where their frames, face images and flow fields lie."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import ExtractionError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean_path
from pipeline.data.prepare import VIDEO_SUFFIXES, clip_stem
from pipeline.data.readers.annotations import group_of
from pipeline.extraction.worker import Result

# fmt: off
IMAGE_SUFFIXES: Final = frozenset({
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm",
    ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})
# fmt: on
FLOW_SUFFIXES: Final = frozenset({".npy"})
_TEXT_SUFFIXES: Final = frozenset({".mts", ".ts"})
"""Suffixes of videos that are those of TypeScript as well."""
_PROBED_BYTES: Final = 4096
_MOST_SUFFIXES: Final = 5
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
    used: frozenset[Path]
    """Files that belong to the clips."""
    left_out: tuple[Path, ...]
    """The other files, without hidden ones."""


def find_sources(
    videos_dir: Path | None, face_dir: Path | None, flow_dir: Path | None
) -> tuple[list[ClipSource], list[Result], list[Result]]:
    """Find the clips in the directories that are given, joined by their ids.

    Returns:
        The clips in the order of their ids; those that cannot be used, as failures; and the
        files that are not taken as clips by their suffix.

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
    return usable, failed, _left_out([each for each in found.values() if each is not None])


def _left_out(found: Sequence[Found]) -> list[Result]:
    """Return the files that no clip was made of; the given directories may overlap."""
    used = frozenset[Path]().union(*(each.used for each in found))
    others = sorted({path for each in found for path in each.left_out} - used)
    reason = "is not used: it has no suffix of a clip, or lies outside of the folders of clips"
    return [Result(clip_id=_shown(str(path)), stage="suffix", reason=reason) for path in others]


def source_group(clip_id: str) -> str:
    """Return what a clip was cut from: the part of its file's name before the first dot.

    Where a name says nothing of that (`anna/1.mp4`, called by its path as there are several
    of a name), it is the folder.
    """
    folder, _, name = clip_id.rpartition("/")
    return folder if folder and _is_plain(name) else group_of(name)


def find_videos(videos_dir: Path) -> Found:
    """Find the videos below a directory, without hidden ones.

    Raises:
        ExtractionError: If there is no such directory, or no video in it.
    """
    files, unreadable = _files_below(videos_dir)
    videos = [path for path in files if _is_video(path)]
    if not videos:
        raise ExtractionError(
            f"{videos_dir}: holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}); "
            f"found {count_suffixes(files)}. "
            f"Give the directory that holds the clips, in it or in folders below it."
        )
    return _found(files, unreadable, used=videos, by_id=_by_id(videos_dir, videos))


def find_folders(directory: Path, suffixes: Iterable[str]) -> Found:
    """Find the folders that hold files with one of `suffixes`, one folder per clip.

    Raises:
        ExtractionError: If there is no such directory, or no such folder in it.
    """
    wanted = frozenset(suffixes)
    files, unreadable = _files_below(directory)
    used = [path for path in files if path.suffix.lower() in wanted and path.parent != directory]
    if not used:
        raise ExtractionError(
            f"{directory}: holds no folder with {', '.join(sorted(wanted))} files; "
            f"found {count_suffixes(files)}. "
            f"Give a directory with one folder for each clip, named as the clip is."
        )
    folders = sorted({path.parent for path in used})
    return _found(files, unreadable, used=used, by_id=_by_id(directory, folders))


def count_suffixes(paths: Iterable[Path | str]) -> str:
    """Return how many files there are of the most frequent suffixes, for a message."""
    numbers = Counter(Path(path).suffix.lower() or "without a suffix" for path in paths)
    shown = numbers.most_common(_MOST_SUFFIXES)
    parts = [f"{number} {suffix}" for suffix, number in shown]
    rest = numbers.total() - sum(number for _, number in shown)
    return ", ".join([*parts, *([f"{rest} others"] if rest else [])]) or "no file"


def _found(
    files: Sequence[Path],
    unreadable: tuple[tuple[Path, OSError], ...],
    *,
    used: Sequence[Path],
    by_id: Mapping[str, Path],
) -> Found:
    left_out = tuple(sorted({*files}.difference(used)))
    return Found(by_id=by_id, unreadable=unreadable, used=frozenset(used), left_out=left_out)


def _is_video(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in VIDEO_SUFFIXES and not (suffix in _TEXT_SUFFIXES and _is_text(path))


def _is_text(path: Path) -> bool:
    """Return whether a file begins as text does; a transport stream holds zeros."""
    if not path.is_file():  # a pipe, for instance, would be waited for
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(_PROBED_BYTES)
    except OSError:  # the worker that opens it will give the reason
        return False
    return bool(beginning) and b"\0" not in beginning


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


def _files_below(directory: Path) -> tuple[list[Path], tuple[tuple[Path, OSError], ...]]:
    """Return the files that are not hidden, and the folders that cannot be read.

    Links to folders are followed, each folder once: a link may lead back to where it is. What
    an extraction has written into one of them is no clip.
    """
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        near = did_you_mean_path(directory)
        raise ExtractionError(f"{directory}: {found}, expected a directory. Check the path.{near}")
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
            Path(folder) / name for name in names if not is_written and not name.startswith(".")
        ]
    return sorted(found_files), tuple((Path(error.filename), error) for error in errors)


def _by_id(directory: Path, paths: Sequence[Path]) -> dict[str, Path]:
    """Return the paths by name, or by the path below the directory where names do not do.

    Names without a dot say nothing of the source. Where one of them is there twice, folders
    tell the sources apart, and all such clips are called by them: else one person would be in
    the group of a folder with one clip, and in that of a name with the next.
    """
    times = Counter(_identifier(path.name) for path in paths)
    by_folder = any(number > 1 and _is_plain(name) for name, number in times.items())
    by_id: dict[str, Path] = {}
    for path in paths:
        clip_id = _identifier(path.name)
        if times[clip_id] > 1 or (by_folder and _is_plain(clip_id)):
            clip_id = _identifier(path.relative_to(directory).as_posix())
        if clip_id in by_id:
            raise ExtractionError(
                f"{directory}: holds {str(by_id[clip_id])!r} and {str(path)!r}, whose names look "
                f"alike and so are one name. Rename or remove one of them."
            )
        by_id[clip_id] = path
    return by_id


def _identifier(name: str) -> str:
    # A name with a control character stays as it is: `_fault_of_name` refuses it.
    has_control = any(unicodedata.category(character) == "Cc" for character in name)
    return name if has_control else normalize_identifier(name)


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
