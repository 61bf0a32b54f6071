"""Open the feature set that a configuration names."""

import dataclasses
import logging
import os.path
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.schema import DataConfig, ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError, FeatureSetError
from pipeline.data.feature_set import FeatureSet, load_feature_files, load_feature_set
from pipeline.data.synthetic import ensure_synthetic_set

_logger = logging.getLogger(__name__)

_PATHS = ("features_dir", "static_features", "dynamic_features", "labels", "clips")


def open_features(data: DataConfig, *, needs_group: bool = True) -> FeatureSet:
    """Load and validate the feature set; the built-in one is generated when it is missing.

    Args:
        data: What names it.
        needs_group: Whether a clips table without `group` is refused.

    Raises:
        ConfigError: If the configuration names no features.
        FeatureSetError: If the features break their contract.
    """
    if data.features_dir:
        path = Path(data.features_dir)
        if data.synthetic is not None:
            ensure_synthetic_set(path, data.synthetic)
        return load_feature_set(path, needs_group=needs_group)
    if not (data.static_features and data.dynamic_features):
        raise ConfigError(
            "No features are given: name a feature set with --features_dir DIR, or its files "
            "with --static_features, --dynamic_features, --labels and --clips."
        )
    return load_feature_files(
        static_features=Path(data.static_features),
        dynamic_features=Path(data.dynamic_features),
        labels=Path(data.labels) if data.labels else None,
        clips=Path(data.clips) if data.clips else None,
        needs_group=needs_group,
    )


def warn_of_features(features: FeatureSet) -> None:
    """Warn in the terminal of features and names that are probably ruined."""
    for warning in features.warnings:
        _logger.warning("%s", warning)


def with_absolute_paths(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration with paths that hold from any working directory."""
    paths: dict[str, Any] = {
        name: _absolute(value) if (value := getattr(config.data, name)) else "" for name in _PATHS
    }
    encoders: dict[str, Any] = {
        name: _absolute(value)
        for name in ("static_encoder", "dynamic_encoder")
        if (value := getattr(config.model, name)).endswith(".keras")
    }
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **paths),
        model=dataclasses.replace(config.model, **encoders),
    )


def _absolute(path: str) -> str:
    # `Path.expanduser` raises an error for an unknown user.
    return str(Path(os.path.expanduser(path)).absolute())  # noqa: PTH111


def trainable_labels(features: FeatureSet) -> FloatArray:
    """Return the labels of a set that something can be learned from, shape (N, 5).

    Raises:
        FeatureSetError: If there are no labels, or several clips and one label for all.
    """
    labels = features.checked_labels()
    if len(labels) > 1 and np.all(labels == labels[0]):
        raise FeatureSetError(
            f"{features.sources[0].parent}: all {features.num_clips} clips have the same labels, "
            "so there is nothing to learn. Check how labels.npy was made."
        )
    return labels
