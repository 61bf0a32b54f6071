"""Which sampler proposes, and which pruner stops."""

import warnings

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from pipeline.config.schema import SearchConfig
from pipeline.core import seeds


def build_sampler(
    config: SearchConfig, *, seed: int, slot: int, stream: str = "sampler"
) -> BaseSampler:
    """Return the sampler of one trial.

    It is seeded for each trial anew, so that a search that is resumed, or whose workers are
    replaced, draws what the uninterrupted one would have drawn.

    Args:
        config: How to sample.
        seed: Seed of the experiment.
        slot: Position of the trial in the order in which trials are handed out.
        stream: Name of the random stream.

    Reference: Bergstra et al., 2011 (Algorithms for Hyper-Parameter Optimization), in the
    multivariate form of Falkner et al., 2018 (arXiv:1807.01774).
    """
    draw = int(seeds.generator(seed, stream, epoch=slot).integers(2**31))
    if config.sampler == "random":
        return RandomSampler(seed=draw)
    return TPESampler(seed=draw, n_startup_trials=config.num_startup_trials)


def build_pruner(config: SearchConfig, *, num_epochs: int) -> BasePruner:
    """Return the pruner.

    Args:
        config: How to prune.
        num_epochs: Most epochs that a trial can have.

    Reference: Li et al., 2018 (arXiv:1603.06560); Li et al., 2020 (arXiv:1810.05934);
    Golovin et al., 2017 (doi:10.1145/3097983.3098043) for the median rule.
    """
    first = min(config.min_epochs, num_epochs)
    if not prunes(config):
        return NopPruner()
    if config.pruner == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=first)
    if config.pruner == "successive_halving":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=config.reduction_factor)
    return HyperbandPruner(
        min_resource=first, max_resource=num_epochs, reduction_factor=config.reduction_factor
    )


def prunes(config: SearchConfig) -> bool:
    """Return whether trials can be stopped: with two objectives nothing says which lag behind."""
    return config.pruner != "none" and config.second_objective == "none"


def quiet_optuna() -> None:
    """Keep Optuna from printing a line a trial, and a traceback a failure: the search does."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    # Heartbeats have been called an experiment since 2021; our tests kill workers.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
