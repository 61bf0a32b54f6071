"""Read annotated trait scores from label tables or ChaLearn First Impressions pickles."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import AnnotationError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.traits import FIRST_IMPRESSIONS, TraitLabel
from pipeline.data.readers.label_table import (
    LabelOptions,
    Labels,
    find_labels,
    names_stability,
    reverse_traits,
    split_of_file,
)
from pipeline.data.readers.score_pickle import read_score_pickle
from pipeline.data.readers.table_file import TABLE_SUFFIXES, read_text_table


def read_labels(paths: Sequence[Path], options: LabelOptions | None = None) -> Labels:
    """Read annotation files into one table of scores.

    A file is a label table or a ChaLearn pickle. A pickle contains `{trait: {clip: score}}`; keys
    that are not traits are ignored. A clip may be in several files if its scores are equal in all
    of them. The file names define the subsets of the clips if each name contains a subset and not
    all subsets are equal, for instance `annotation_training.pkl` and `annotation_test.pkl`. A
    column of subsets in a file takes precedence.

    Raises:
        AnnotationError: If a file has an unknown format, a trait or score is missing, a score is
            outside the range, the scores, group or split of a clip differ between files, or a
            pickle contains code.

    Reference: Escalante et al., 2020 (doi:10.1109/TAFFC.2020.2973984), the data set.
    """
    if not paths:
        raise AnnotationError(
            "No annotation file is given. Give at least one table or ChaLearn pickle."
        )
    options = options or LabelOptions()
    files = [_read_file(path, options) for path in paths]
    names = [split_of_file(path) for path in paths]
    if len(set(names)) > 1 and all(names):
        files = [
            file if file.splits is not None else _with_split(file, name)
            for file, name in zip(files, names, strict=True)
        ]
    first = files[0]
    for path, file in zip(paths[1:], files[1:], strict=True):
        if file.traits != first.traits:
            raise AnnotationError(
                f"{path}: has other directions or ranges of the traits than {paths[0]}. Prepare "
                "the files separately, or give one --label_range for both."
            )
    return Labels(
        scores=_joined([file.scores for file in files], paths, "scores"),
        traits=first.traits,
        groups=_joined_columns([file.groups for file in files], paths, "values of group"),
        splits=_joined_columns([file.splits for file in files], paths, "values of split"),
    )


def _read_file(path: Path, options: LabelOptions) -> Labels:
    if path.suffix.lower() in TABLE_SUFFIXES:
        return find_labels(path, read_text_table(path), options)
    labels = _read_pickle(path, options)
    values = labels.scores.to_numpy()
    if not len(values):
        raise AnnotationError(f"{path}: has no annotated clip. Give another file.")
    wrong = ~((values >= 0) & (values <= 1))  # also true for NaN
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise AnnotationError(
            f"{path}: clip {labels.scores.index[row]!r} has {labels.scores.columns[column]} "
            f"{values[row, column]}, but a score must be in [0, 1]. Rescale the scores, or drop "
            "the clip."
        )
    return reverse_traits(labels, options.reverse)


def _with_split(labels: Labels, name: str) -> Labels:
    splits = pd.Series(name, index=labels.scores.index, dtype=str)
    return dataclasses.replace(labels, splits=splits)


def _joined_columns(
    columns: Sequence[pd.Series | None], paths: Sequence[Path], what: str
) -> pd.Series | None:
    known = [column for column in columns if column is not None]
    if not known:
        return None
    if len(known) < len(columns):
        path = next(path for path, column in zip(paths, columns, strict=True) if column is None)
        raise AnnotationError(
            f"{path}: has no {what}, but another annotation file has one. Add the column, "
            "or drop it everywhere."
        )
    return _joined([column.to_frame() for column in known], paths, what).iloc[:, 0]


def _joined(tables: Sequence[pd.DataFrame], paths: Sequence[Path], what: str) -> pd.DataFrame:
    """Append tables with the same columns. The rows of a clip in several tables must be equal."""
    for number, table in enumerate(tables):
        for earlier in range(number):
            both = tables[earlier].index.intersection(table.index)
            found, expected = table.loc[both].to_numpy(), tables[earlier].loc[both].to_numpy()
            differs = (found != expected).any(axis=1)
            if differs.any():
                raise AnnotationError(
                    f"{paths[number]}: clip {both[differs][0]!r} has other {what} than in "
                    f"{paths[earlier]}. Give only one of the files, or drop the clip from one file."
                )
    joined = pd.concat(tables)
    return joined[~joined.index.duplicated()]


def _read_pickle(path: Path, options: LabelOptions) -> Labels:
    by_trait = read_score_pickle(path)
    if not isinstance(by_trait, dict):
        raise AnnotationError(
            f"{path}: must contain {{trait: {{clip: score}}}}, but contains a pickled "
            f"{type(by_trait).__name__}. Give the annotation file as ChaLearn distributes it."
        )
    if "neuroticism" in options.traits:
        _check_no_stability(path, by_trait)
    names = {trait: options.trait_columns.get(trait, trait) for trait in options.traits}
    missing = [name for name in names.values() if name not in by_trait]
    if missing:
        raise AnnotationError(
            f"{path}: has no scores for {', '.join(missing)}; found "
            f"{', '.join(_short(key) for key in list(by_trait)[:6]) or 'no trait'}. "
            f"Give a file with all traits, or choose the traits with --traits."
        )
    columns = {trait: _checked_scores(path, name, by_trait[name]) for trait, name in names.items()}
    first = options.traits[0]
    clips = list(columns[first])
    for trait in options.traits[1:]:
        odd = columns[trait].keys() ^ columns[first].keys()
        if odd:
            raise AnnotationError(
                f"{path}: clip {min(odd)!r} has a score for only one of {first} and {trait}. "
                f"Score it for every trait, or drop it."
            )
    known = {trait.name: trait for trait in FIRST_IMPRESSIONS}
    return Labels(
        scores=pd.DataFrame(
            [[columns[trait][clip] for trait in options.traits] for clip in clips],
            index=pd.Index(clips, name="clip_id", dtype=str),
            columns=list(options.traits),
            dtype=np.float64,
        ),
        traits=tuple(known.get(trait, TraitLabel(name=trait)) for trait in options.traits),
    )


def _check_no_stability(path: Path, names: Iterable[object]) -> None:
    texts = [name for name in names if isinstance(name, str)]
    if "neuroticism" in texts:
        return
    for name in texts:
        if names_stability(name):
            raise AnnotationError(
                f"{path}: has {name!r} and no neuroticism. They are opposite ends of one trait. "
                f"First Impressions scores emotional stability under the name neuroticism. To "
                f"combine the scores with that corpus, rename the column to neuroticism and do not "
                f"change the scores. In any case, describe the direction under `traits` in "
                f"features.json."
            )


def _checked_scores(path: Path, trait: str, scores: Any) -> Mapping[str, float]:
    if not isinstance(scores, dict):
        raise AnnotationError(
            f"{path}: {trait} must be {{clip: score}}, but is a {type(scores).__name__}. "
            f"Give the annotation file as ChaLearn distributes it."
        )
    checked: dict[str, float] = {}
    for clip, score in scores.items():
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if not (isinstance(clip, str) and normalize_identifier(clip) and is_number):
            raise AnnotationError(
                f"{path}: {trait} has the entry {_short(clip)}: {_short(score)}, but an entry must "
                f"be the name of a clip and its score. Correct or drop the entry."
            )
        name = normalize_identifier(clip)
        if name in checked and checked[name] != score:
            raise AnnotationError(
                f"{path}: {trait} has clip {name!r} twice with different scores. Invisible "
                f"differences between names are ignored. Keep one of the entries."
            )
        checked[name] = score
    return checked


def _short(value: object) -> str:
    # In an untrusted file, a container may have a very long `repr`.
    return repr(value)[:60] if isinstance(value, str) else f"a {type(value).__name__}"
