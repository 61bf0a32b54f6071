"""Columns of the clip table that scores are reported by, the subgroups of a report."""

from typing import Any

from pipeline.core.arrays import IntArray
from pipeline.core.errors import SplitError
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean
from pipeline.data.feature_set import FeatureSet
from pipeline.evaluation.report import check_few_values


def refuse_unknown_columns(features: FeatureSet, by: tuple[str, ...]) -> None:
    """Refuse to report by a column that the clip table does not have.

    Raises:
        SplitError: Naming the columns that it has.
    """
    for column in by:
        if column not in features.clips:
            raise SplitError(
                f"{features.sources[0].parent}: the clip table has no column {column} to report "
                f"by; it has {', '.join(features.clips.columns)}."
                f"{did_you_mean(column, features.clips)} Choose from these."
            )


def refuse_unusable_columns(features: FeatureSet, rows: IntArray, by: tuple[str, ...]) -> None:
    """Refuse, before there is a model to judge, what no report of the clips `rows` can be by.

    Raises:
        PipelineError: If the clip table has no such column, or it has too many values there.
    """
    refuse_unknown_columns(features, by)
    for column, values in values_by(features, rows, by).items():
        check_few_values(column, values)


def known_columns(features: FeatureSet, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return those columns that the clip table has."""
    return tuple(column for column in columns if column in features.clips)


def values_by(features: FeatureSet, rows: IntArray, by: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return the values of the clips `rows` in each column, by its name.

    Values that differ only invisibly are one value, as for ids and groups.
    """
    return {
        column: [normalize_identifier(value) for value in features.clips[column].to_numpy()[rows]]
        for column in by
    }
