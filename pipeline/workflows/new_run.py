"""Split and settings of a new run. This module does not import TensorFlow."""

import warnings
from collections.abc import Collection

import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.config.size_defaults import with_size_defaults
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, split_feature_set
from pipeline.workflows.features import select_used_streams


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
