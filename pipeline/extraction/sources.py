"""Which clips there are, and where their frames, face images and flow fields lie."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.core.errors import ExtractionError
from pipeline.data.annotations import group_of
from pipeline.data.join import VIDEO_SUFFIXES, clip_stem
from pipeline.extraction.worker import Result

IMAGE_SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
FLOW_SUFFIXES: Final = frozenset({".npy"})


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


def find_sources(
    videos_dir: Path | None, face_dir: Path | None, flow_dir: Path | None
) -> tuple[list[ClipSource], list[Result]]:
    """Find the clips in the directories that are given, joined by their ids.

    Returns:
        The clips in the order of their ids, and those that cannot be used, as failures.

    Raises:
        ExtractionError: If a directory is not there, or holds no clip, or none can be used.
    """
    sources, incomplete = join_sources(
        videos=find_videos(videos_dir) if videos_dir else None,
        face_dirs=find_folders(face_dir, IMAGE_SUFFIXES) if face_dir else None,
        flow_dirs=find_folders(flow_dir, FLOW_SUFFIXES) if flow_dir else None,
    )
    usable = [source for source in sources if _is_name(source.clip_id)]
    if not usable:
        raise ExtractionError(
            f"none of {len(sources) + len(incomplete)} clips can be used: each needs a name in "
            f"UTF-8 and a place in every directory that is given. Check how they are named."
        )
    reason = "is not in each of the directories that were given"
    failed = [Result(clip_id=_shown(each), stage="open", reason=reason) for each in incomplete]
    failed += [
        Result(clip_id=_shown(source.clip_id), stage="name", reason="the name is not UTF-8 text")
        for source in sources
        if not _is_name(source.clip_id)
    ]
    return usable, failed


def find_videos(videos_dir: Path) -> dict[str, Path]:
    """Find the videos below a directory, hidden ones apart.

    Returns:
        Clip id -> path, in the order of the paths. The id is the file's name, as
        annotations have it; if two files share a name, it is the path below `videos_dir`
        for all of them.

    Raises:
        ExtractionError: If there is no such directory, or no video in it.
    """
    files = _files_below(videos_dir, VIDEO_SUFFIXES)
    if not files:
        raise ExtractionError(
            f"{videos_dir}: holds no video ({', '.join(sorted(VIDEO_SUFFIXES))}). "
            f"Give the directory that holds the clips, in it or in folders below it."
        )
    return _by_id(videos_dir, files)


def find_folders(directory: Path, suffixes: Iterable[str]) -> dict[str, Path]:
    """Find the folders that hold files with one of `suffixes`, one folder a clip.

    Returns:
        Clip id -> folder; ids as for videos.

    Raises:
        ExtractionError: If there is no such directory, or no such folder in it.
    """
    wanted = frozenset(suffixes)
    folders = sorted({path.parent for path in _files_below(directory, wanted)} - {directory})
    if not folders:
        raise ExtractionError(
            f"{directory}: holds no folder with {', '.join(sorted(wanted))} files. Give a "
            f"directory with one folder for each clip, named as the clip is."
        )
    return _by_id(directory, folders)


def join_sources(
    *,
    videos: Mapping[str, Path] | None,
    face_dirs: Mapping[str, Path] | None,
    flow_dirs: Mapping[str, Path] | None,
) -> tuple[list[ClipSource], list[str]]:
    """Join what there is of each clip by its id, with or without a video suffix.

    Returns:
        The clips of which everything is there, and the ids of those of which a part is
        missing, both in the order of their ids.
    """
    parts = {
        name: {clip_stem(clip_id): (clip_id, path) for clip_id, path in by_id.items()}
        for name, by_id in (("video", videos), ("face_dir", face_dirs), ("flow_dir", flow_dirs))
        if by_id is not None
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


def _files_below(directory: Path, suffixes: Iterable[str]) -> list[Path]:
    if not directory.is_dir():
        found = "is a file" if directory.exists() else "does not exist"
        raise ExtractionError(f"{directory}: {found}, expected a directory. Check the path.")
    wanted = frozenset(suffixes)
    found_files = []
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found_files += [
            Path(folder) / name
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in wanted
        ]
    return sorted(found_files)


def _by_id(directory: Path, paths: list[Path]) -> dict[str, Path]:
    names = {path.name for path in paths}
    if len(names) == len(paths):
        return {path.name: path for path in paths}
    return {path.relative_to(directory).as_posix(): path for path in paths}


def _is_name(clip_id: str) -> bool:
    try:
        clip_id.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return bool(group_of(clip_id).strip())


def _shown(clip_id: str) -> str:
    return clip_id.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
