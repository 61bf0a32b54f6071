"""Open the configured feature set, and check its labels and columns before training."""

import dataclasses
import logging
import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.config.schema import DataConfig, ExperimentConfig
from pipeline.core.arrays import IntArray
from pipeline.core.errors import ConfigError, FeatureSetError, SplitError
from pipeline.core.files import split_paths
from pipeline.core.identifiers import normalize_identifier
from pipeline.core.near_names import did_you_mean
from pipeline.core.run_log import RunLog
from pipeline.core.stream_names import DYNAMIC, STATIC
from pipeline.data.feature_set import FeatureSet, load_feature_files, load_feature_set
from pipeline.data.readers.label_table import LabelOptions
from pipeline.data.relabel import with_label_table
from pipeline.data.synthetic import ensure_synthetic_set
from pipeline.evaluation.report import check_few_values
from pipeline.records.data_description import DataDescription

_logger = logging.getLogger(__name__)

_ONE_STREAM: Final = "_only"
"""Ending of the names of the fusions with one stream. The rest of the name is the stream."""

_ARRAY_FILES: Final = ("static_features", "dynamic_features", "clips")

_PATHS = ("features_dir", "static_features", "dynamic_features", "labels", "clips")


def open_features(data: DataConfig, *, needs_group: bool = True) -> FeatureSet:
    """Load and validate the feature set; generate the built-in set if it is missing.

    The streams and traits are those in `data.streams` and `data.traits`, by default all. If
    `needs_group` is true, a clip table must have the column `group`.

    Raises:
        ConfigError: If the configuration does not define any features.
        FeatureSetError: If the feature set is not valid.
    """
    has_table = data.has_label_table
    options: dict[str, Any] = {
        "needs_group": needs_group,
        "traits": () if has_table else data.traits,
    }
    if data.features_dir:
        path = Path(data.features_dir)
        if data.synthetic is not None:
            ensure_synthetic_set(path, data.synthetic)
        features = load_feature_set(path, streams=data.streams, **options)
    else:
        features = load_feature_files(
            _stream_files(data),
            labels=Path(data.labels) if data.labels and not has_table else None,
            clips=Path(data.clips) if data.clips else None,
            **options,
        )
    if has_table:
        label_options = LabelOptions.parse(
            traits=",".join(data.traits),
            id_column=data.id_column,
            trait_columns=data.trait_columns,
            label_range=data.label_range,
            reverse=data.reverse,
        )
        features = with_label_table(features, split_paths(data.labels), label_options)
    return features


def feature_settings(
    files: Mapping[str, str],
    labels: Sequence[Path] = (),
    label_options: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the settings that select a feature set, with their dotted names.

    If features are given, the settings also remove the features of the configuration.

    Args:
        files: `features_dir`, `static_features`, `dynamic_features` and `clips` -> path, or "".
        labels: Label files.
        label_options: Name of a label option, e.g. `label_range` -> value.
    """
    settings: dict[str, Any] = {}
    if any(files.values()):
        settings = {"synthetic": None, "labels": "", "features_dir": files.get("features_dir", "")}
        arrays = {name: files.get(name, "") for name in _ARRAY_FILES}
        is_whole_set = not any(arrays.values())
        settings |= {name: path for name, path in arrays.items() if path or is_whole_set}
    if labels:
        settings["labels"] = ",".join(map(str, labels))
    settings |= {name: value for name, value in (label_options or {}).items() if value}
    return {f"data.{name}": value for name, value in settings.items()}


def select_used_streams(features: FeatureSet, config: ExperimentConfig) -> FeatureSet:
    """Return the features with only the streams that the fusion uses.

    With stream dropout, each stream gets a mask, because the model needs one to leave it out.

    Raises:
        FeatureSetError: If the set does not have the only stream of the fusion.
    """
    fusion = config.model.fusion
    if config.training.stream_dropout:
        features = features.with_masks()
    if not fusion.endswith(_ONE_STREAM):
        return features
    name = fusion.removesuffix(_ONE_STREAM)
    if name not in features.streams:
        raise FeatureSetError(
            f"{features.features_dir}: has no stream {name}, which model.fusion={fusion} needs; "
            f"the streams are {', '.join(features.streams)}. Choose another fusion."
        )
    return features.select_streams((name,))


def recorded_columns(data: DataConfig, recorded: DataDescription) -> DataConfig:
    """Return a description of features that chooses the streams and traits of a trained model."""
    return dataclasses.replace(recorded_streams(data, recorded), traits=recorded.trait_names)


def recorded_streams(data: DataConfig, recorded: DataDescription) -> DataConfig:
    """Return a description of features that chooses the streams of a trained model.

    The labels, which a prediction does not use, may have any traits.
    """
    return dataclasses.replace(data, streams=tuple(recorded.streams), traits=())


def _stream_files(data: DataConfig) -> dict[str, Path]:
    files = {STATIC: data.static_features, DYNAMIC: data.dynamic_features}
    given = {name: Path(path) for name, path in files.items() if path}
    if not given:
        raise ConfigError(
            "No features are given. Give a feature set with --features_dir DIR, or single files "
            "with --static_features or --dynamic_features or both, --labels and --clips."
        )
    for name in data.streams:
        if name not in given:
            option = f"--{name}_features FILE or " if name in files else ""
            raise ConfigError(
                f"The stream {name} is not given; the given streams are {', '.join(given)}. "
                f"Give {option}--features_dir DIR, or choose other streams (--data.streams)."
            )
    return {name: given[name] for name in data.streams or given}


def log_feature_warnings(features: FeatureSet) -> None:
    """Log the warnings of a feature set: damaged features, and ids that are too similar."""
    for warning in features.warnings:
        _logger.warning("%s", warning)


def with_absolute_paths(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration with absolute paths."""
    paths: dict[str, Any] = {
        name: _absolute(value) if (value := getattr(config.data, name)) else "" for name in _PATHS
    }
    encoders: dict[str, Any] = {
        name: _absolute(value)
        for name in ("static_encoder", "dynamic_encoder")
        if (value := getattr(config.model, name)).endswith(".keras")
    }
    if config.data.has_label_table:
        labels = split_paths(config.data.labels)
        paths["labels"] = ",".join(_absolute(str(path)) for path in labels)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **paths),
        model=dataclasses.replace(config.model, **encoders),
    )


def _absolute(path: str) -> str:
    # `Path.expanduser` raises an error for an unknown user.
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111


def check_labels_vary(features: FeatureSet) -> None:
    """Check that the labels differ between clips.

    Raises:
        FeatureSetError: If there are no labels, or if several clips all have the same labels.
    """
    labels = features.checked_labels()
    if len(labels) > 1 and np.all(labels == labels[0]):
        raise FeatureSetError(
            f"{features.sources[0].parent}: all {features.num_clips} clips have the same labels, "
            "so there is nothing to learn. Check how labels.npy was created."
        )


def check_columns(
    features: FeatureSet, columns: tuple[str, ...], rows: IntArray | None = None
) -> None:
    """Check that the given columns exist and divide the clips at `rows` into few subgroups.

    If `rows` is None, the check covers only the column names.

    Raises:
        PipelineError: If a column is missing, or has too many distinct values for these clips.
    """
    for column in columns:
        if column not in features.clips:
            raise SplitError(
                f"{features.sources[0].parent}: the clip table has no column {column} for "
                f"subgroups. The columns are {', '.join(features.clips.columns)}."
                f"{did_you_mean(column, features.clips)} Choose one of these columns."
            )
    if rows is not None:
        for column, values in column_values(features, rows, columns).items():
            check_few_values(column, values)


def existing_columns(features: FeatureSet, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the given columns that exist in the clip table."""
    return tuple(column for column in columns if column in features.clips)


def column_values(
    features: FeatureSet, rows: IntArray, columns: tuple[str, ...]
) -> dict[str, list[Any]]:
    """Return a dictionary: column name -> normalized values in the rows `rows`."""
    return {
        column: [normalize_identifier(value) for value in features.clips[column].to_numpy()[rows]]
        for column in columns
    }


def log_features(run_log: RunLog, features: FeatureSet, num_clips: Mapping[str, int]) -> None:
    """Log the feature set of a run. `num_clips` contains the number of clips of each subset."""
    run_log.log_dataset(
        name=features.sources[0].parent.name,
        digest=features.digest,
        source=str(features.sources[0].parent),
        profile=describe_features(features).to_json(),
        splits=num_clips,
    )


def describe_features(features: FeatureSet) -> DataDescription:
    """Return the description of a feature set that `data.json` contains."""
    return DataDescription(
        digest=features.digest,
        num_clips=features.num_clips,
        streams={name: list(stream.shape) for name, stream in features.streams.items()},
        sources=[str(path) for path in features.sources],
        encoder=features.encoder,
        settings=features.metadata.get("settings"),
        traits=features.traits,
        warnings=features.warnings,
    )
