"""Read annotated trait scores: ChaLearn First Impressions pickles, or CSV tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import AnnotationError
from pipeline.core.traits import TRAITS
from pipeline.data.csv_table import read_csv_table
from pipeline.data.score_pickle import read_score_pickle


def read_annotations(paths: Sequence[Path]) -> pd.DataFrame:
    """Read annotation files into one table of scores.

    Args:
        paths: ChaLearn pickles (`{trait: {clip: score}}`; further keys such as
            `interview` are left out), or `.csv` tables with `clip_id` and the five
            traits. A clip may stand in several files if its scores are the same.

    Returns:
        Index `clip_id` as in the files, columns `TRAITS`, float64 in [0, 1].

    Raises:
        AnnotationError: If a file is no such file, lacks a trait or a score, holds a
            score outside [0, 1], contradicts another file, or names anything to run.

    Reference: Escalante et al., 2020 (doi:10.1109/TAFFC.2020.2973984), the data set.
    """
    if not paths:
        raise AnnotationError("No annotation file is given. Give at least one .pkl or .csv file.")
    tables = [_read_one(path) for path in paths]
    for number, table in enumerate(tables):
        for earlier in range(number):
            _refuse_contradiction(tables[earlier], paths[earlier], table, paths[number])
    scores = pd.concat(tables)
    return scores[~scores.index.duplicated()]


def group_of(clip_name: str) -> str:
    """Return the source video of a First Impressions clip: the part before the first dot.

    Clips are cut from longer videos and named `<video>.<number>.mp4`; a video id may
    begin with a dash.
    """
    return clip_name.partition(".")[0]


def _read_one(path: Path) -> pd.DataFrame:
    scores = _read_table(path) if path.suffix.lower() == ".csv" else _read_pickle(path)
    if scores.empty:
        raise AnnotationError(f"{path}: annotates no clip. Give a file that does.")
    values = scores.to_numpy()
    wrong = ~((values >= 0) & (values <= 1))  # written so that NaN is wrong
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise AnnotationError(
            f"{path}: clip {scores.index[row]!r} has {TRAITS[column]} {values[row, column]}, "
            f"expected a score in [0, 1]. Rescale the scores, or drop the clip."
        )
    return scores


def _read_pickle(path: Path) -> pd.DataFrame:
    by_trait = read_score_pickle(path)
    if not isinstance(by_trait, dict):
        raise AnnotationError(
            f"{path}: holds a {type(by_trait).__name__}, expected {{trait: {{clip: score}}}}. "
            f"Give the annotation file as ChaLearn distributes it."
        )
    missing = [trait for trait in TRAITS if trait not in by_trait]
    if missing:
        raise AnnotationError(
            f"{path}: has no scores for {', '.join(missing)}; found "
            f"{', '.join(_shown(key) for key in list(by_trait)[:6]) or 'no trait'}. "
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
    return _score_table(clips, values)


def _checked_scores(path: Path, trait: str, scores: Any) -> Mapping[str, float]:
    if not isinstance(scores, dict):
        raise AnnotationError(
            f"{path}: {trait} holds a {type(scores).__name__}, expected {{clip: score}}. "
            f"Give the annotation file as ChaLearn distributes it."
        )
    for clip, score in scores.items():
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if not (isinstance(clip, str) and clip.strip() and is_number):
            raise AnnotationError(
                f"{path}: {trait} holds {_shown(clip)}: {_shown(score)}, expected the name of "
                f"a clip and its score. Correct or drop the entry."
            )
    return scores


def _shown(value: object) -> str:
    # The repr of a container from a file of strangers may be endless.
    return repr(value)[:60] if isinstance(value, str) else f"a {type(value).__name__}"


def _read_table(path: Path) -> pd.DataFrame:
    table = read_csv_table(path, columns=("clip_id", *TRAITS), error=AnnotationError)
    clips = table["clip_id"].tolist()
    twice = table["clip_id"].duplicated().to_numpy()
    if twice.any():
        row = int(twice.argmax())
        raise AnnotationError(
            f"{path}: clip {clips[row]!r} occurs twice, in rows {clips.index(clips[row])} and "
            f"{row}. Keep one of them."
        )
    values = [
        [_parse_score(path, row, trait, text) for trait, text in zip(TRAITS, texts, strict=True)]
        for row, texts in enumerate(table[list(TRAITS)].to_numpy())
    ]
    return _score_table(clips, values)


def _parse_score(path: Path, row: int, trait: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnnotationError(
            f"{path}: row {row} has {trait} {text!r}, expected a number in [0, 1]. "
            f"Fill it in, or drop the row."
        ) from None


def _score_table(clips: Sequence[str], values: Sequence[Sequence[float]]) -> pd.DataFrame:
    index = pd.Index(clips, name="clip_id", dtype=str)
    return pd.DataFrame(values, index=index, columns=list(TRAITS), dtype=np.float64)


def _refuse_contradiction(
    first: pd.DataFrame, first_path: Path, second: pd.DataFrame, second_path: Path
) -> None:
    both = first.index.intersection(second.index)
    differs = (first.loc[both].to_numpy() != second.loc[both].to_numpy()).any(axis=1)
    if differs.any():
        raise AnnotationError(
            f"{second_path}: clip {both[differs][0]!r} has other scores than in {first_path}. "
            f"Give only one of the files, or drop the clip from one."
        )
