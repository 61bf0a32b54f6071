"""`predictions/<split>.csv`: predicted and annotated scores of each clip.

Shapes: N clips, K traits.
"""

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import RunError
from pipeline.core.files import atomic_path
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.traits import TRAITS

Names: TypeAlias = Sequence[str] | NDArray[Any]
"""One name per clip: clip ids or groups."""

_TRUE: Final = "true_"
"""Beginning of the names of the columns of the annotated scores."""

_FIX: Final = "Predict again, or correct the file."


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Predicted scores of clips, and their annotated scores if known."""

    clip_ids: Names
    """Id of each clip; stored as a tuple of N strings."""
    groups: Names
    """Source video or person of each clip; stored as a tuple of N strings."""
    y_pred: FloatArray
    """Predicted scores, shape (N, K); stored as float64."""
    y_true: FloatArray | None = None
    """Annotated scores in [0, 1], shape (N, K); None if they are unknown."""
    trait_names: tuple[str, ...] = TRAITS
    """Names of the K columns of the scores."""

    def __post_init__(self) -> None:
        for field in ("clip_ids", "groups"):
            object.__setattr__(self, field, tuple(map(str, getattr(self, field))))
        # `read_predictions` returns float64. With the same type before writing, results that are
        # computed from these scores are the same before writing and after reading.
        object.__setattr__(self, "y_pred", np.asarray(self.y_pred, dtype=np.float64))
        if self.y_true is not None:
            object.__setattr__(self, "y_true", np.asarray(self.y_true, dtype=np.float64))
        expected = (len(self.clip_ids), len(self.trait_names))
        true_shape = expected if self.y_true is None else self.y_true.shape
        if len(self.groups) != expected[0] or {self.y_pred.shape, true_shape} != {expected}:
            raise ValueError(
                f"{expected[0]} clips need as many groups and scores of shape {expected}; "
                f"found {len(self.groups)} groups, y_pred {self.y_pred.shape}, "
                f"y_true {true_shape}"
            )

    def take(self, rows: IntArray) -> "Predictions":
        """Return the predictions for the clips with the row indices `rows`, in this order."""
        return Predictions(
            clip_ids=[self.clip_ids[row] for row in rows],
            groups=[self.groups[row] for row in rows],
            y_pred=self.y_pred[rows],
            y_true=None if self.y_true is None else self.y_true[rows],
            trait_names=self.trait_names,
        )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions atomically as CSV.

    The columns are: `clip_id`, the traits, `true_<trait>` for annotated scores, and `group`.
    `read_predictions` returns exactly the same numbers.

    Raises:
        RunError: If there are no clips, a clip id is repeated or empty, a group is empty, or a
            score is not finite.
    """
    known = predictions.y_true is not None
    scores = np.hstack([s for s in (predictions.y_pred, predictions.y_true) if s is not None])
    rows = range(2, len(predictions.clip_ids) + 2)
    fix = "Nothing was written: check the model and its input clips."
    _check_usable(path, predictions, rows=rows, fix=fix)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_columns(predictions.trait_names, known=known))
        for clip_id, values, group in zip(
            predictions.clip_ids, scores.tolist(), predictions.groups, strict=True
        ):
            writer.writerow([clip_id, *values, group])


def read_predictions(path: Path) -> Predictions:
    """Read predictions that `write_predictions` wrote. Columns after `group` are ignored.

    Raises:
        RunError: If the file or a column is missing, the file is not a table, a clip id is
            repeated or empty, a group is empty, or a score is not a finite number. The message
            names the file and the row; the header is row 1.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or ()
            trait_names, known = _trait_names(header)
            _check_header(path, header, trait_names, known=known)
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file. Predict first.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as CSV ({error}). {_FIX}") from error
    for number, row in rows:
        if None in row or None in row.values():
            raise RunError(
                f"{path}: row {number} (clip {row.get('clip_id')}) does not have one value for "
                f"each of the {len(header)} columns. {_FIX}"
            )
    predictions = Predictions(
        clip_ids=[normalize_identifier(row["clip_id"]) for _, row in rows],
        groups=[normalize_identifier(row["group"]) for _, row in rows],
        y_pred=_scores(path, rows, trait_names),
        y_true=_scores(path, rows, _true_columns(trait_names)) if known else None,
        trait_names=trait_names,
    )
    _check_usable(path, predictions, rows=[number for number, _ in rows], fix=_FIX)
    return predictions


def _trait_names(header: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Return the names of the traits, and whether the file has annotated scores."""
    columns = list(itertools.takewhile(lambda column: column != "group", header))
    true = [column.removeprefix(_TRUE) for column in columns if column.startswith(_TRUE)]
    scores = [column for column in columns if column != "clip_id" and not column.startswith(_TRUE)]
    # If only one of both columns exists, `_check_header` reports the other column as missing.
    return tuple(dict.fromkeys([*scores, *true])), bool(true)


def _columns(trait_names: Sequence[str], *, known: bool) -> tuple[str, ...]:
    true = _true_columns(trait_names) if known else ()
    return ("clip_id", *trait_names, *true, "group")


def _true_columns(trait_names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{_TRUE}{trait}" for trait in trait_names)


def _check_header(
    path: Path, header: Sequence[str], trait_names: Sequence[str], *, known: bool
) -> None:
    first, *scores, last = _columns(trait_names, known=known)
    for column in (first, last, *scores):
        if header.count(column) != 1:
            raise RunError(
                f"{path}: must have the column {column!r} once, but has it {header.count(column)} "
                f"times. The columns are: {', '.join(header) or 'none'}. {_FIX}"
            )
    if not trait_names:
        raise RunError(
            f"{path}: must have one column of scores per trait between clip_id and group, but has "
            f"none. The columns are: {', '.join(header)}. {_FIX}"
        )


def _scores(
    path: Path, rows: Sequence[tuple[int, dict[str, str]]], columns: Sequence[str]
) -> FloatArray:
    scores = np.empty((len(rows), len(columns)))
    for index, (number, row) in enumerate(rows):
        for position, column in enumerate(columns):
            try:
                scores[index, position] = float(row[column])
            except ValueError:
                raise RunError(
                    f"{path}: row {number} (clip {row['clip_id']}) has {row[column]!r} in "
                    f"column {column}, but must have a number. {_FIX}"
                ) from None
    return scores


def _check_usable(path: Path, predictions: Predictions, *, rows: Sequence[int], fix: str) -> None:
    """Check names and scores; `rows` are the row numbers in the file."""
    if not rows:
        raise RunError(f"{path}: has no clips, but must have at least one clip. {fix}")
    seen: dict[str, int] = {}
    for row, clip_id, group in zip(rows, predictions.clip_ids, predictions.groups, strict=True):
        if not clip_id or not group:
            raise RunError(f"{path}: row {row} has no {'group' if clip_id else 'clip_id'}. {fix}")
        if clip_id in seen:
            raise RunError(
                f"{path}: row {row} repeats clip {clip_id} of row {seen[clip_id]}; "
                f"each clip must occur once. {fix}"
            )
        seen[clip_id] = row
    names = predictions.trait_names
    for columns, scores in (
        (names, predictions.y_pred),
        (_true_columns(names), predictions.y_true),
    ):
        if scores is None or np.isfinite(scores).all():
            continue
        index, position = np.argwhere(~np.isfinite(scores))[0]
        raise RunError(
            f"{path}: row {rows[index]} (clip {predictions.clip_ids[index]}) has "
            f"{scores[index, position]} in column {columns[position]}, but must have a finite "
            f"number. {fix}"
        )
