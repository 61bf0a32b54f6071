"""Read annotated trait scores from ChaLearn First Impressions files or CSV tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipeline.core.errors import AnnotationError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel
from pipeline.data.clip_table import check_columns, read_csv_table
from pipeline.data.readers.score_pickle import read_score_pickle

_V1_NAMES: Final[Mapping[str, str]] = {
    "VideoName": "clip_id",
    "ValueOpenness": "openness",
    "ValueConscientiousness": "conscientiousness",
    "ValueExtraversion": "extraversion",
    "ValueAgreeableness": "agreeableness",
    "ValueNeurotisicm": "neuroticism",  # the spelling in the ChaLearn files
    "ValueNeuroticism": "neuroticism",
}
"""Column name in the first version of First Impressions -> standard name."""

_STABILITY: Final = re.compile(r"(emotional(ly)?|non|no|not)?(stability|stable|neuroticism)")
"""Pattern for names of emotional stability, in lower case and without separators."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """Annotated scores and the direction of each trait."""

    scores: pd.DataFrame
    """Index `clip_id`, columns `TRAITS`, float64 in [0, 1]."""
    traits: tuple[TraitLabel, ...] = ()
    """Name and direction of each trait, in the order of `TRAITS`; empty if unknown."""


def read_annotations(paths: Sequence[Path]) -> Annotations:
    """Read annotation files into one table of scores.

    Each file is a ChaLearn pickle or a `.csv` table. A pickle contains `{trait: {clip: score}}`;
    keys that are not traits are ignored. A table has the columns `clip_id` and the five traits, or
    the columns of the first version of First Impressions. A clip may be in several files if its
    scores are equal in all of them.

    Raises:
        AnnotationError: If a file has another format, a trait or score is missing, a score is
            outside [0, 1], the scores of a clip differ between files, or a pickle contains code.

    Reference: Escalante et al., 2020 (doi:10.1109/TAFFC.2020.2973984), the data set.
    """
    if not paths:
        raise AnnotationError("No annotation file is given. Give at least one .pkl or .csv file.")
    files = [_read_file(path) for path in paths]
    tables = [file.scores for file in files]
    for number, table in enumerate(tables):
        for earlier in range(number):
            _check_agreement(tables[earlier], paths[earlier], table, paths[number])
    scores = pd.concat(tables)
    return Annotations(
        scores=scores[~scores.index.duplicated()],
        traits=next((file.traits for file in files if file.traits), ()),
    )


def group_of(clip_name: str) -> str:
    """Return the source video of a First Impressions clip: its name up to the first dot.

    Clips are cut from longer videos and named `<video>.<number>.mp4`. A video id may begin with
    a dash.
    """
    return clip_name.partition(".")[0]


def _read_file(path: Path) -> Annotations:
    annotations = _read_table(path) if path.suffix.lower() == ".csv" else _read_pickle(path)
    scores = annotations.scores
    if scores.empty:
        raise AnnotationError(f"{path}: has no annotated clip. Give another file.")
    values = scores.to_numpy()
    wrong = ~((values >= 0) & (values <= 1))  # also true for NaN
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise AnnotationError(
            f"{path}: clip {scores.index[row]!r} has {TRAITS[column]} {values[row, column]}, "
            f"but a score must be in [0, 1]. Rescale the scores, or drop the clip."
        )
    return annotations


def _read_pickle(path: Path) -> Annotations:
    by_trait = read_score_pickle(path)
    if not isinstance(by_trait, dict):
        raise AnnotationError(
            f"{path}: must contain {{trait: {{clip: score}}}}, but contains a pickled "
            f"{type(by_trait).__name__}. Give the annotation file as ChaLearn distributes it."
        )
    _check_no_stability(path, by_trait)
    missing = [trait for trait in TRAITS if trait not in by_trait]
    if missing:
        raise AnnotationError(
            f"{path}: has no scores for {', '.join(missing)}; found "
            f"{', '.join(_short(key) for key in list(by_trait)[:6]) or 'no trait'}. "
            f"Give a file with all five traits."
        )
    columns = {trait: _checked_scores(path, trait, by_trait[trait]) for trait in TRAITS}
    clips = list(columns[TRAITS[0]])
    for trait in TRAITS[1:]:
        odd = columns[trait].keys() ^ columns[TRAITS[0]].keys()
        if odd:
            raise AnnotationError(
                f"{path}: clip {min(odd)!r} has a score for only one of {TRAITS[0]} and {trait}. "
                f"Score it for every trait, or drop it."
            )
    values = [[columns[trait][clip] for trait in TRAITS] for clip in clips]
    return Annotations(scores=_score_table(clips, values), traits=FIRST_IMPRESSIONS)


def _check_no_stability(path: Path, names: Iterable[object]) -> None:
    texts = [name for name in names if isinstance(name, str)]
    if "neuroticism" in texts:
        return
    for name in texts:
        if _STABILITY.fullmatch(re.sub(r"[\s_-]", "", name.lower())):
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


def _read_table(path: Path) -> Annotations:
    table = read_csv_table(path, columns=("clip_id",), error=AnnotationError, other_names=_V1_NAMES)
    _check_no_stability(path, table.columns)
    check_columns(path, list(table), TRAITS, AnnotationError)
    clips = table["clip_id"].tolist()
    twice = table["clip_id"].duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise AnnotationError(
            f"{path}: clip {clips[row]!r} occurs twice, in rows {clips.index(clips[row])} and "
            f"{row}. Keep one of the rows."
        )
    values = [
        [_parse_score(path, row, trait, text) for trait, text in zip(TRAITS, texts, strict=True)]
        for row, texts in enumerate(table[list(TRAITS)].to_numpy())
    ]
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    has_v1_names = any(
        name in header for name, trait in _V1_NAMES.items() if trait == "neuroticism"
    )
    return Annotations(
        scores=_score_table(clips, values), traits=FIRST_IMPRESSIONS if has_v1_names else ()
    )


def _parse_score(path: Path, row: int, trait: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnnotationError(
            f"{path}: row {row} has {trait} {text!r}, but a score must be a number in [0, 1]. "
            f"Correct the score, or drop the row."
        ) from None


def _score_table(clips: Sequence[str], values: Sequence[Sequence[float]]) -> pd.DataFrame:
    index = pd.Index(clips, name="clip_id", dtype=str)
    return pd.DataFrame(values, index=index, columns=list(TRAITS), dtype=np.float64)


def _check_agreement(
    first: pd.DataFrame, first_path: Path, second: pd.DataFrame, second_path: Path
) -> None:
    both = first.index.intersection(second.index)
    differs = (first.loc[both].to_numpy() != second.loc[both].to_numpy()).any(axis=1)
    if differs.any():
        raise AnnotationError(
            f"{second_path}: clip {both[differs][0]!r} has other scores than in {first_path}. "
            f"Give only one of the files, or drop the clip from one file."
        )
