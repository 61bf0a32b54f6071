"""Specification of a study: configuration, space, storage and the fits of each trial."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, split_feature_set, split_folds
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.search.space.space import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySpec:
    """Specification of a study. Each worker gets a copy."""

    config: ExperimentConfig
    """Base configuration of the trials. Its paths are absolute."""
    space: Space
    study_name: str
    storage_url: str
    study_dir: Path
    """Run directory of the study on this machine."""
    sampler_stream: str = "sampler"
    """Name of the sampler's random stream. Each process of a study uses a different name."""

    @property
    def run(self) -> RunDirectory:
        """Run directory of the study on this machine."""
        return RunDirectory(self.study_dir)

    def trial_run(self, number: int) -> RunDirectory:
        """Return the run directory of a trial, inside the run directory of the study."""
        return RunDirectory(self.run.trials_dir / f"trial-{number:04d}")

    @property
    def directions(self) -> list[str]:
        """Optuna direction of each objective: minimize or maximize."""
        settings = self.config.search
        first = "maximize" if HIGHER_IS_BETTER.get(settings.metric, False) else "minimize"
        return [first, "minimize"][: len(self.objectives)]

    @property
    def objectives(self) -> list[str]:
        """Name of each objective."""
        settings = self.config.search
        second = settings.second_objective
        return [settings.metric] if second == "none" else [settings.metric, second]

    def with_search_metric(self, config: ExperimentConfig) -> ExperimentConfig:
        """Return a configuration that selects the best epoch by the search metric."""
        training = replace(config.training, monitor=self.config.search.metric, num_folds=0)
        return replace(config, training=training)

    @property
    def num_fits(self) -> int:
        """Number of fits per trial."""
        return max(1, self.config.search.num_folds) * self.config.search.num_seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFit:
    """Training of one model in a trial, with one fold and one seed."""

    name: str
    split: Split
    """Training and validation clips; the test subset is empty."""
    seed: int


def without_outputs(config: ExperimentConfig) -> ExperimentConfig:
    """Return a configuration without figures and models in MLflow, which take time."""
    return replace(
        config,
        evaluation=replace(config.evaluation, figures=False),
        tracking=replace(config.tracking.unregistered(), package_model=False),
    )


def search_split(features: FeatureSet, config: ExperimentConfig) -> Split:
    """Return the split of a search. No trial uses the test subset."""
    return split_feature_set(
        features,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.split_seed,
    )


def plan_fits(features: FeatureSet, split: Split, config: ExperimentConfig) -> tuple[TrialFit, ...]:
    """Return the fits of each trial: one fit per fold and seed. No fit uses test clips.

    Raises:
        SplitError: If there are fewer groups than folds.
    """
    search = config.search
    if search.num_folds:
        rows = np.concatenate([split.train, split.validation])
        splits = split_folds(
            features.groups, num_folds=search.num_folds, seed=config.split_seed, rows=rows
        )
    else:
        splits = (Split(train=split.train, validation=split.validation, test=split.test[:0]),)
    return tuple(
        TrialFit(name=f"fold-{fold}-seed-{number}", split=each, seed=config.seed + number)
        for fold, each in enumerate(splits, start=1)
        for number in range(search.num_seeds)
    )
