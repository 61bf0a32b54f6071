"""Find clip ids, trait scores, groups and splits in a label table of any annotation study."""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import AnnotationError, ConfigError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel
from pipeline.data.readers.table_file import find_id_column, letters_of

_TRAIT_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "openness": ("openness", "open", "opn", "opennesstoexperience", "valueopenness"),
    "conscientiousness": ("conscientiousness", "cons", "con", "valueconscientiousness"),
    "extraversion": ("extraversion", "extroversion", "extr", "ext", "valueextraversion"),
    "agreeableness": ("agreeableness", "agree", "agr", "valueagreeableness"),
    "neuroticism": ("neuroticism", "neur", "neuro", "neu", "valueneurotisicm", "valueneuroticism"),
}
_FIRST_VERSION: Final = ("valueneurotisicm", "valueneuroticism")
"""Names of the neuroticism column in the first version of First Impressions, in lower case.

The first name contains the misspelling of ChaLearn.
"""
_STABILITY: Final = re.compile(
    r"emot|(emotional(ly)?|non|no|not)?stab(ility|le)?|(non|no|not)neuroticism|es"
)
"""Names of emotional stability, in lower case and without separators."""
_SPLIT_COLUMNS: Final = ("split", "subset", "partition")
_SPLITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SCALES: Final = ((0.0, 1.0), (1.0, 5.0), (1.0, 7.0), (0.0, 10.0), (0.0, 100.0))
"""Usual scales of questionnaires, the narrowest first."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Options that describe a label table."""

    traits: tuple[str, ...] = TRAITS
    """Names of the traits to read, in the order of the label columns."""
    id_column: str = ""
    """Column of the clip ids; empty: found by its name."""
    trait_columns: Mapping[str, str] = field(default_factory=dict)
    """Trait -> column; other traits are found by their names."""
    label_range: tuple[float, float] | None = None
    """Lowest and highest possible score; None: [0, 1]."""
    reverse: tuple[str, ...] = ()
    """Traits whose scores x become 1 - x after scaling."""

    @classmethod
    def parse(
        cls,
        *,
        traits: str = "",
        id_column: str = "",
        trait_columns: str = "",
        label_range: str = "",
        reverse: str = "",
    ) -> "LabelOptions":
        """Parse the values of the command-line options.

        Args:
            traits: Names of the traits, separated by commas; empty: the five OCEAN traits.
            id_column: Name of a column.
            trait_columns: `TRAIT=COLUMN`, separated by commas.
            label_range: `LOW,HIGH`.
            reverse: Traits, separated by commas.

        Raises:
            ConfigError: If a value has the wrong form, or a trait is unknown or given twice.
        """
        names = _listed_names(traits) or TRAITS
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"--traits: {twice!r} is given twice. Name each trait once.")
        columns = {}
        for entry in _listed_names(trait_columns):
            trait, equals, column = (part.strip() for part in entry.partition("="))
            if not (equals and column):
                raise ConfigError(
                    f"--trait_columns: {entry!r} must be TRAIT=COLUMN, for example openness=Open."
                )
            columns[_checked_trait(trait, names, "--trait_columns")] = column
        return cls(
            traits=names,
            id_column=id_column,
            trait_columns=columns,
            label_range=_parse_range(label_range) if label_range else None,
            reverse=tuple(
                _checked_trait(trait, names, "--reverse") for trait in _listed_names(reverse)
            ),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Scores, groups and subsets of the clips in an annotation file."""

    scores: pd.DataFrame
    """Index `clip_id`, one column per trait, float64 in [0, 1]."""
    traits: tuple[TraitLabel, ...]
    """Name, direction and original range of each trait, in the order of the columns."""
    groups: pd.Series | None = None
    """Group of each clip; None if there is no column `group`."""
    splits: pd.Series | None = None
    """Subset of each clip; None if there is no such column."""


def find_labels(path: Path, table: pd.DataFrame, options: LabelOptions) -> Labels:
    """Find the labels in a table.

    Args:
        path: Path of the table, for error messages.
        table: One row per clip, cells of type str, column names without leading and trailing
            blanks.
        options: Options that describe the table.

    Raises:
        AnnotationError: If a column is missing, a clip occurs twice, or a score is not a number
            in the range.
    """
    id_column = _find_id_column(path, list(table), options.id_column)
    columns = _find_trait_columns(path, list(table), options)
    clips = [normalize_identifier(text) for text in table[id_column]]
    _check_ids(path, clips, id_column)
    values = np.column_stack(
        [_parse_column(path, table[column], column, clips) for column in columns.values()]
    )
    low, high = _checked_range(path, values, clips, [*columns.values()], options.label_range)
    values = (values - low) / (high - low)
    index = pd.Index(clips, name="clip_id", dtype=str)
    scores = pd.DataFrame(values, index=index, columns=list(columns), dtype=np.float64)
    traits = (_trait_label(*each) for each in columns.items())
    return reverse_traits(
        Labels(
            scores=scores,
            traits=tuple(replace(trait, label_range=(low, high)) for trait in traits),
            groups=_optional_column(table, ("group",), index),
            splits=_split_column(path, table, index),
        ),
        options.reverse,
    )


def reverse_traits(labels: Labels, traits: Iterable[str]) -> Labels:
    """Replace the scores x of these traits by 1 - x, and record the new direction."""
    names = set(traits)
    if not names:
        return labels
    scores = labels.scores.copy()
    for name in names:
        scores[name] = 1 - scores[name]
    return replace(
        labels,
        scores=scores,
        traits=tuple(
            _reversed_label(trait) if trait.name in names else trait for trait in labels.traits
        ),
    )


def names_stability(name: str) -> bool:
    """Return True if the name of a trait or a column means emotional stability."""
    return _STABILITY.fullmatch(letters_of(name)) is not None


def split_of_file(path: Path) -> str:
    """Return the subset that the name of an annotation file contains, or ""."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((_SPLITS[word] for word in words if word in _SPLITS), "")


def _reversed_label(trait: TraitLabel) -> TraitLabel:
    if trait.is_reversed:
        return replace(trait, is_reversed=False, note="")
    note = f"The scores were reversed (1 - x), so a high score means low {trait.name}."
    return replace(trait, is_reversed=True, note=note)


def _listed_names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))


def _checked_trait(trait: str, traits: Sequence[str], option: str) -> str:
    if trait not in traits:
        raise ConfigError(
            f"{option}: {trait!r} is not a trait.{did_you_mean(trait, traits)} The traits are "
            f"{', '.join(traits)}. Give other traits with --traits."
        )
    return trait


def _parse_range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(",")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not found[0] < found[1] or not np.isfinite(found).all():
        raise ConfigError(
            f"--label_range {text}: must be LOW,HIGH with LOW < HIGH, for example 1,7."
        )
    return found


def _named_column(path: Path, columns: Sequence[str], name: str, option: str) -> str:
    loose = [column for column in columns if column.lower() == name.lower()]
    if name in columns or loose:
        return name if name in columns else loose[0]
    raise AnnotationError(
        f"{path}: has no column {name!r} ({option}).{did_you_mean(name, columns)} The columns are "
        f"{_listed(columns)}."
    )


def _find_id_column(path: Path, columns: Sequence[str], wanted: str) -> str:
    if wanted:
        return _named_column(path, columns, wanted, "--id_column")
    found = find_id_column(columns)
    if found is None:
        raise AnnotationError(
            f"{path}: has no column of clip ids such as clip_id, video or filename. The "
            f"columns are {_listed(columns)}. Name the column with --id_column NAME."
        )
    return found


def _find_trait_columns(
    path: Path, columns: Sequence[str], options: LabelOptions
) -> dict[str, str]:
    """Return trait -> column, in the order of the traits."""
    by_name = {letters_of(column): column for column in reversed(columns)}
    stable = next((name for name in by_name if names_stability(name)), "")
    # A column name with one letter is used only if every other trait has such a column, or its
    # column is given.
    has_initials = all(
        trait in options.trait_columns or trait[0] in by_name for trait in options.traits
    )
    found: dict[str, str] = {}
    for trait in options.traits:
        names = (
            letters_of(trait),
            *_TRAIT_NAMES.get(trait, ()),
            *((stable,) if trait == "neuroticism" else ()),
            *((trait[0],) if has_initials and trait in TRAITS else ()),
        )
        if trait in options.trait_columns:
            name = options.trait_columns[trait]
            found[trait] = _named_column(path, columns, name, "--trait_columns")
        elif column := next((by_name[name] for name in names if name in by_name), None):
            found[trait] = column
    missing = [trait for trait in options.traits if trait not in found]
    if missing:
        raise AnnotationError(
            f"{path}: has no column for {', '.join(missing)}. The columns are {_listed(columns)}. "
            f"Name them with --trait_columns {missing[0]}=COLUMN,..., or choose other traits with "
            "--traits."
        )
    return found


def _trait_label(trait: str, column: str) -> TraitLabel:
    if trait == "neuroticism" and letters_of(column) in _FIRST_VERSION:
        return FIRST_IMPRESSIONS[-1]
    if trait == "neuroticism" and names_stability(column):
        note = (
            f"The annotation column {column!r} is emotional stability, so a high score means a "
            "calm, emotionally stable person."
        )
        return TraitLabel(name=trait, is_reversed=True, note=note)
    return TraitLabel(name=trait)


def _check_ids(path: Path, clips: Sequence[str], column: str) -> None:
    if not clips:
        raise AnnotationError(f"{path}: has no rows. Give another file.")
    first: dict[str, int] = {}
    for row, clip in enumerate(clips):
        if not clip:
            raise AnnotationError(
                f"{path}: row {row} has a blank {column}. Fill it in, or drop the row."
            )
        if clip in first:
            raise AnnotationError(
                f"{path}: clip {clip!r} occurs twice, in rows {first[clip]} and {row}. Keep one of "
                "the rows, or average the raters first."
            )
        first[clip] = row


def _parse_column(path: Path, cells: pd.Series, column: str, clips: Sequence[str]) -> FloatArray:
    values = np.full(len(cells), np.nan)
    for row, text in enumerate(cells):
        with contextlib.suppress(ValueError):
            values[row] = float(text.strip().replace(",", "."))
        if not np.isfinite(values[row]):
            raise AnnotationError(
                f"{path}: row {row} (clip {clips[row]!r}) has {column} {text!r}, which is not a "
                "number. Fill it in, or drop the row."
            )
    return values


def _checked_range(
    path: Path,
    values: FloatArray,
    clips: Sequence[str],
    columns: Sequence[str],
    given: tuple[float, float] | None,
) -> tuple[float, float]:
    low, high = given or (0.0, 1.0)
    is_outside = (values < low) | (values > high)
    if not is_outside.any():
        return low, high
    row, column = np.argwhere(is_outside)[0]
    place = f"{path}: row {row} (clip {clips[row]!r}) has {columns[column]} {values[row, column]:g}"
    if given is not None:
        raise AnnotationError(
            f"{place}, which is outside --label_range {low:g},{high:g}. Correct the range or the "
            "score."
        )
    scale = next(
        (each for each in _SCALES if each[0] <= values.min() and values.max() <= each[1]), None
    )
    if scale is None:
        fix = f"The scores are between {values.min():g} and {values.max():g}. Give the lowest and "
        fix += "the highest possible score with --label_range LOW,HIGH."
    else:
        fix = f"All scores are between {scale[0]:g} and {scale[1]:g}. If this is the scale, give "
        fix += f"--label_range {scale[0]:g},{scale[1]:g}."
    raise AnnotationError(f"{place}, which is outside [0, 1]. {fix}")


def _optional_column(
    table: pd.DataFrame, names: Sequence[str], index: pd.Index
) -> pd.Series | None:
    column = next((column for column in table if letters_of(str(column)) in names), None)
    if column is None:
        return None
    return pd.Series([normalize_identifier(text) for text in table[column]], index=index, dtype=str)


def _split_column(path: Path, table: pd.DataFrame, index: pd.Index) -> pd.Series | None:
    """Return the subset of each clip; None without a column of subsets.

    A column without any usual name of a subset, such as a column of fold numbers, is not used.

    Raises:
        AnnotationError: If some of the cells, but not all of them, are names of subsets.
    """
    name = next((str(name) for name in table if letters_of(str(name)) in _SPLIT_COLUMNS), None)
    if name is None:
        return None
    cells = pd.Series([normalize_identifier(text) for text in table[name]], index=index, dtype=str)
    splits = cells.str.lower().map(_SPLITS)
    if splits.isna().all():
        return None
    if splits.isna().any():
        row = int(splits.isna().to_numpy().argmax())
        raise AnnotationError(
            f"{path}: row {row} (clip {index[row]!r}) has {name} {cells.iloc[row]!r}, but must "
            f"have one of {', '.join(_SPLITS)}, like other rows. Correct the cell, or rename the "
            "column to split the clips by group."
        )
    return splits


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:12])
    return f"{shown}, ... ({len(columns)} in all)" if len(columns) > 12 else shown
