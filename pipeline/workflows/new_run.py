"""Inputs, split and settings of a new run. This module does not import TensorFlow."""

import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.config.run_name import default_run_name
from pipeline.config.schema import ExperimentConfig
from pipeline.config.size_defaults import with_size_defaults
from pipeline.core.errors import ConfigError
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, split_feature_set
from pipeline.workflows.features import (
    check_labels_vary,
    open_features,
    select_used_streams,
    with_absolute_paths,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """Checked inputs of a new run."""

    config: ExperimentConfig
    """Configuration with absolute paths."""
    features: FeatureSet
    chosen: str
    """Settings that were chosen from the number of clips, in one line; "" if none."""
    run_name: str
    """Name of the MLflow run, unless the configuration names it."""


def new_split(config: ExperimentConfig, features: FeatureSet) -> Split:
    """Split the clips of a new run. In a cross-validation, no clips are for validation only.

    Raises:
        SplitError: If there are too few groups.
    """
    split = split_feature_set(
        features,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.split_seed,
        needs_validation=not config.training.num_folds,
    )
    if not config.training.num_folds:
        return split
    # In a cross-validation, the final model is trained on all folds, without validation clips.
    return Split(
        train=np.concatenate([split.train, split.validation]),
        validation=split.validation[:0],
        test=split.test,
    )


def settings_for_features(
    config: ExperimentConfig, features: FeatureSet, *, given: Collection[str]
) -> tuple[ExperimentConfig, str]:
    """Apply the settings for the number of training clips; see `with_size_defaults`.

    `given` contains the dotted names of the settings that the user has given. All other settings
    of `config` have their default values.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the split of the run gives them again
        num_clips = len(new_split(config, features).train)
    if num_folds := config.training.num_folds:
        num_clips -= num_clips // num_folds
    streams = select_used_streams(features, config).streams.values()
    return with_size_defaults(
        config,
        given,
        num_clips=num_clips,
        has_images=any(stream.image_size is not None for stream in streams),
    )


def plan_run(
    config: ExperimentConfig,
    *,
    given: Collection[str] | None,
    base: ExperimentConfig | None = None,
) -> RunPlan:
    """Open and check the features of a new run, and choose the settings for their number of clips.

    Args:
        config: Configuration of the run.
        given: Dotted names of the settings that the user has given, if the other settings depend
            on the number of training clips. None if a configuration defines all settings.
        base: Configuration of the experiment file. The name of the run lists the differences from
            this configuration, or from the defaults if it is None.

    Raises:
        PipelineError: If the features are not valid, or the labels do not vary.
    """
    config = with_absolute_paths(config)
    features = open_features(config.data)
    check_labels_vary(features)
    run_name = default_run_name(config, base)
    chosen = ""
    if given is not None:
        config, chosen = settings_for_features(config, features, given=given)
    return RunPlan(config=config, features=features, chosen=chosen, run_name=run_name)


def with_environment(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Add MLflow settings from environment variables to the overrides.

    Order of priority: options, environment variables, configuration file. `mlflow run` creates an
    MLflow run, and sets the environment variables for this run.

    Raises:
        ConfigError: If `mlflow run` has created its MLflow run in another MLflow experiment.
    """
    run_id = os.environ.get("MLFLOW_RUN_ID")
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    wanted = overrides.get("tracking.experiment")
    if wanted and run_id is not None:
        from pipeline.tracking.existing_runs import experiment_of_run

        found = experiment_of_run(run_id)
        if found not in (wanted, None):
            raise ConfigError(
                f"--tracking.experiment {wanted}: `mlflow run` has already created the run in the "
                f"experiment {found}. Use `mlflow run --experiment-name {wanted}` instead."
            )
    elif wanted:
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    settings = {"tracking.experiment": name} if name else {}
    if run_id is not None:
        settings["tracking.run_name"] = ""
    return {**settings, **overrides}
