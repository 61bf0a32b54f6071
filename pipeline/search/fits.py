"""The fits that one trial consists of: one, or one a fold and a seed."""

from dataclasses import dataclass

import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, split_feature_set, split_folds


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One fit of a trial."""

    name: str
    split: Split
    """Its test side is empty: no trial reads those clips."""
    seed: int


def search_split(features: FeatureSet, config: ExperimentConfig) -> Split:
    """Return the split of a search: the test side is held out of all of it."""
    return split_feature_set(
        features,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
    )


def plan_parts(features: FeatureSet, split: Split, config: ExperimentConfig) -> tuple[Part, ...]:
    """Return the fits of a trial, every one without the test side.

    Raises:
        SplitError: If there are fewer groups than folds.
    """
    search = config.search
    if search.num_folds:
        rows = np.concatenate([split.train, split.validation])
        splits = split_folds(
            features.groups, num_folds=search.num_folds, seed=config.seed, rows=rows
        )
    else:
        splits = (Split(train=split.train, validation=split.validation, test=split.test[:0]),)
    return tuple(
        Part(name=f"fold-{fold}-seed-{number}", split=each, seed=config.seed + number)
        for fold, each in enumerate(splits, start=1)
        for number in range(search.num_seeds)
    )
