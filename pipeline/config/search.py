"""How a search for better settings goes about it; what it searches is the space's to say."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pipeline.config.guards import above_zero, at_least, check_alias, within
from pipeline.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """Objective, sampler, pruner, and what becomes of the best configuration."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}

    metric: Literal["accuracy", "mae", "mse", "r2", "pcc", "ccc"] = "mae"
    """Validation metric that is searched for; it decides each trial's best epoch too."""
    num_folds: int = 0
    """Folds, by group, that a trial is the mean of; 0 uses the one validation split."""
    num_seeds: int = 1
    """Seeds that a trial is the mean of; each costs a whole fit."""
    second_objective: Literal["none", "weights", "latency_ms"] = "none"
    """What else shall be small: the number of weights, or the milliseconds a clip takes."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Tree-structured Parzen estimator (Bergstra et al., 2011), or draws at random."""
    num_startup_trials: int = 10
    """Trials that are drawn at random before the estimator is asked."""
    pruner: Literal["hyperband", "successive_halving", "median", "none"] = "hyperband"
    """Stops trials that lag behind (Li et al., 2018, arXiv:1603.06560, and others).

    With two objectives every trial runs to its end.
    """
    min_epochs: int = 5
    """Epochs that every trial is given before it can be stopped."""
    reduction_factor: int = 3
    """Of as many trials, one goes on: for `hyperband` and `successive_halving`."""
    try_default: bool = True
    """Make the configuration as it is the first trial, where the space holds it."""
    test_fraction: float = 0.2
    """Share of the clips held out of the whole search where no test side is marked or set."""
    refit: Literal["train_validation", "train"] = "train_validation"
    """Clips that the best configuration is trained on at the end.

    `train_validation` trains for as many epochs as the trial's best epoch; `train` holds the
    validation clips out to choose the best epoch again.
    """
    alias: str = "best"
    """Alias of the best model in MLflow's registry."""
    heartbeat_seconds: int = 10
    """How often a trial says that it is alive; three beats missed, and it is tried again."""
    max_retries: int = 2
    """How often a trial is tried again whose worker died."""

    def __post_init__(self) -> None:
        check_alias("search.alias", self.alias)
        at_least("search.num_seeds", self.num_seeds, 1)
        at_least("search.num_startup_trials", self.num_startup_trials, 1)
        at_least("search.min_epochs", self.min_epochs, 1)
        at_least("search.reduction_factor", self.reduction_factor, 2)
        at_least("search.heartbeat_seconds", self.heartbeat_seconds, 1)
        at_least("search.max_retries", self.max_retries, 0)
        above_zero("search.test_fraction", self.test_fraction)
        within("search.test_fraction", self.test_fraction, 0.0, 0.5)
        if self.num_folds < 0 or self.num_folds == 1:
            raise ConfigError(
                f"search.num_folds must be 0 (one split) or at least 2; got {self.num_folds}."
            )
