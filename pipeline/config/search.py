"""Settings of a search. The space file defines the parameters."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from pipeline.config.checks import PYDANTIC_CONFIG, check_alias, check_num_folds, check_ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """Objective, sampler, pruner, and the final training of the best configuration."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    metric: Literal["accuracy", "mae", "mse", "r2", "pcc", "ccc"] = "mae"
    """Validation metric to optimize; it also selects the best epoch of each trial."""
    num_folds: int = 0
    """Cross-validation folds per trial, by group; 0 uses the one validation split."""
    num_seeds: Annotated[int, Interval(ge=1)] = 1
    """Seeds per trial; each needs a fit of its own."""
    second_objective: Literal["none", "weights", "latency_ms"] = "none"
    """Second value to minimize: the number of weights, or the milliseconds per clip."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Tree-structured Parzen estimator (Bergstra et al., 2011), or random sampling."""
    num_startup_trials: Annotated[int, Interval(ge=1)] = 10
    """Random trials before the first proposal of the estimator."""
    pruner: Literal["hyperband", "successive_halving", "median", "none"] = "hyperband"
    """How to stop weak trials early (Li et al., 2018, arXiv:1603.06560, and others).

    With two objectives every trial runs to its end.
    """
    min_epochs: Annotated[int, Interval(ge=1)] = 5
    """Epochs before a trial can be stopped."""
    reduction_factor: Annotated[int, Interval(ge=2)] = 3
    """One of this many trials continues, for `hyperband` and `successive_halving`."""
    try_default: bool = True
    """Use the given configuration as the first trial, if the space contains it."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.5)] = 0.2
    """Share of the clips held out of the whole search, unless a test split is given."""
    refit: Literal["train_validation", "train"] = "train_validation"
    """Clips for the final training of the best configuration.

    `train_validation` stops at the best epoch of the trial. `train` holds the validation clips
    out and selects the best epoch again.
    """
    alias: str = "best"
    """Alias of the best model in MLflow's registry."""
    heartbeat_seconds: Annotated[int, Interval(ge=1)] = 10
    """Interval of the heartbeats of a trial; after three missed beats it is run again."""
    max_retries: Annotated[int, Interval(ge=0)] = 2
    """How often a trial is run again if its worker dies."""

    def __post_init__(self) -> None:
        check_ranges("search", self)
        check_alias("search.alias", self.alias)
        check_num_folds("search.num_folds", self.num_folds)
