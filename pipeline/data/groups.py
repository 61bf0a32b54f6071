"""Assign each clip to a group: the source video or the person.

A split keeps each group in one subset. If one person is in two subsets, the metrics are too good.
"""

import itertools
import operator
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pipeline.core.errors import ConfigError
from pipeline.core.near_names import did_you_mean
from pipeline.core.number_format import count
from pipeline.data.clip_names import clip_stem

_RULES: Final = ("folder", "prefix", "regex:PATTERN", "FILE.csv")
_SPLIT_FOLDERS: Final = frozenset(
    {"train", "training", "val", "valid", "validation", "dev", "development", "test", "testing"}
)
"""Folders with these names contain a subset of the clips, not one person."""
_PREFIX: Final = re.compile(r"[._-]*[^._-]+")
_NO_FOLDER: Final = PurePosixPath()
_NUM_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups of a sequence of clips and the rule that assigned them."""

    names: tuple[str, ...]
    """Group of each clip."""
    rule: str
    """Origin of the groups, as the end of a sentence."""

    @property
    def description(self) -> str:
        """Numbers of clips and groups, the rule, and the largest groups, as one line."""
        sizes = Counter(self.names)
        if len(sizes) == len(self.names):
            return describe_groups(len(self.names), len(sizes))
        largest = [
            f"{name} ({count(number, 'clip')})" for name, number in sizes.most_common(_NUM_SHOWN)
        ]
        more = " and others" if len(sizes) > len(largest) else ""
        return (
            f"{describe_groups(len(self.names), len(sizes))} The groups are {self.rule}: "
            f"{', '.join(largest)}{more}."
        )


def describe_groups(num_clips: int, num_groups: int, *, is_prepared: bool = False) -> str:
    """Return the numbers of clips and groups as one line, with a hint if each clip is a group.

    If `is_prepared` is true, the feature set exists already, so the hint names the commands that
    accept `--groups`.
    """
    numbers = f"{count(num_clips, 'clip')} in {count(num_groups, 'group')}"
    if num_groups < num_clips:
        return f"{numbers}."
    return (
        f"{numbers}: every clip counts as a different person. If one person appears in several "
        f"clips, give --groups{' to `prepare` or `extract`' if is_prepared else ''}."
    )


def assign_groups(clips: Sequence[str], rule: str = "") -> Groups:
    """Assign each clip to a group by its name.

    Args:
        clips: Path of each clip below the directory of all clips, with `/`, or its name.
        rule: `folder`: the folder of the clip. `prefix`: the name before the first `.`, `_` or
            `-`. `regex:PATTERN`: the first group of the pattern, or the whole match, in the path.
            Empty: for names such as `<video>.<number>.mp4`, the name before the first dot. Other
            clips are grouped by folder if there are several folders, none has the name of a subset
            such as `train`, and each contains several clips or two clips have the same name. Else
            each clip is its own group.

    Raises:
        ConfigError: If the rule is unknown or assigns no group to a clip.
    """
    paths = [PurePosixPath(clip) for clip in clips]
    if not rule:
        return _default_groups(paths)
    kind, _, pattern = rule.partition(":")
    if kind == "regex":
        return _groups_of_pattern(paths, pattern)
    if rule == "folder":
        names = [path.parent.as_posix() for path in paths]
        if "." in names:
            raise ConfigError(
                f"--groups folder: the clip {paths[names.index('.')]} is in no folder. Move the "
                "clips of each person into one folder, or give --groups FILE.csv with the columns "
                "clip_id and group."
            )
        return Groups(names=tuple(names), rule="the folders of the clips")
    if rule == "prefix":
        return _groups_of_prefix(paths)
    raise ConfigError(
        f"--groups {rule}: is neither a table nor a rule.{did_you_mean(rule, _RULES)} Give "
        f"{', '.join(_RULES[:-1])} or {_RULES[-1]} with the columns clip_id and group."
    )


def is_group_table(rule: str) -> bool:
    """Return whether a value of `--groups` is the path of a table, not the name of a rule."""
    return bool(rule) and not rule.startswith("regex:") and bool(Path(rule).suffix)


def source_group(clip: str) -> str:
    """Return the source video of a clip: the part of its name before the first dot.

    First Impressions cuts clips from longer videos and names them `<video>.<number>.mp4`. A
    video id may begin with a dash.
    """
    return PurePosixPath(clip).name.partition(".")[0]


def _default_groups(paths: Sequence[PurePosixPath]) -> Groups:
    is_numbered = ["." in clip_stem(path.name) for path in paths]
    plain = list(itertools.compress(paths, map(operator.not_, is_numbered)))
    sizes = Counter(path.parent for path in plain if path.parent != _NO_FOLDER)
    has_equal_names = len({clip_stem(path.name) for path in plain}) < len(plain)
    by_folder = (
        len(sizes) > 1
        and (min(sizes.values()) > 1 or has_equal_names)
        and not any(folder.name.lower() in _SPLIT_FOLDERS for folder in sizes)
    )
    names, rules = [], []
    for path, numbered in zip(paths, is_numbered, strict=True):
        if numbered:
            names.append(source_group(path.name))
            rules.append("the part of each name before the first dot")
        elif by_folder and path.parent != _NO_FOLDER:
            names.append(path.parent.as_posix())
            rules.append("the folders of the clips")
        else:
            names.append(clip_stem(path.as_posix()))
    return Groups(names=tuple(names), rule=" and ".join(dict.fromkeys(rules)))


def _groups_of_prefix(paths: Sequence[PurePosixPath]) -> Groups:
    names = []
    for path in paths:
        found = _PREFIX.match(path.name)
        if found is None:
            raise ConfigError(
                f"--groups prefix: the name of the clip {path} has no text before a `.`, `_` or "
                "`-`. Rename the clip, or give --groups FILE.csv."
            )
        names.append(found[0])
    return Groups(names=tuple(names), rule="the part of each name before the first `.`, `_` or `-`")


def _groups_of_pattern(paths: Sequence[PurePosixPath], pattern: str) -> Groups:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"--groups regex:{pattern}: is not a regular expression ({error}). Correct it."
        ) from error
    names = []
    for path in paths:
        found = compiled.search(path.as_posix())
        name = (found[1] if compiled.groups else found[0]) if found else None
        if not name:
            raise ConfigError(
                f"--groups regex:{pattern}: does not match the clip {path}. Correct the pattern; "
                "it must match the path of each clip, and its first group must not be empty."
            )
        names.append(name)
    return Groups(names=tuple(names), rule=f"the matches of {pattern}")
