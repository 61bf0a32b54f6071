"""Build the sampler and the pruner of a study."""

import warnings

import optuna
from optuna import pruners
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from pipeline.config.schema import SearchConfig
from pipeline.core import seeds


def build_sampler(
    config: SearchConfig, *, seed: int, slot: int, stream: str = "sampler"
) -> BaseSampler:
    """Build the sampler of one trial.

    Each trial has its own sampler seed. A resumed search therefore samples the same values as an
    uninterrupted search.

    Reference: Bergstra et al., 2011 (Algorithms for Hyper-Parameter Optimization).
    """
    slot_seed = int(seeds.generator(seed, stream, epoch=slot).integers(2**31))
    if config.sampler == "random":
        return RandomSampler(seed=slot_seed)
    return TPESampler(seed=slot_seed, n_startup_trials=config.num_startup_trials)


def build_pruner(config: SearchConfig, num_epochs: int) -> pruners.BasePruner:
    """Build the pruner. `num_epochs` is the maximum number of epochs of a trial.

    Reference: Li et al., 2018 (arXiv:1603.06560, Hyperband); Li et al., 2020 (arXiv:1810.05934,
    successive halving); Golovin et al., 2017 (doi:10.1145/3097983.3098043, median rule).
    """
    if not prunes(config):
        return pruners.NopPruner()
    first = min(config.min_epochs, num_epochs)
    if config.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first)
    if config.pruner == "successive_halving":
        return pruners.SuccessiveHalvingPruner(first, config.reduction_factor)
    return pruners.HyperbandPruner(first, num_epochs, config.reduction_factor)


def prunes(config: SearchConfig) -> bool:
    """Return True if trials can be pruned. Optuna cannot prune trials with two objectives."""
    return config.pruner != "none" and config.second_objective == "none"


def quiet_optuna() -> None:
    """Turn off Optuna's own log lines and its warnings about experimental features."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
