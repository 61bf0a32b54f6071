"""Search for better settings from Python."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from pipeline.api.display import Displayed
from pipeline.api.evaluation import headline_scores
from pipeline.api.inputs import (
    ConfigLike,
    PathLike,
    experiment_config,
    feature_arguments,
    path_of,
)
from pipeline.api.run import Run
from pipeline.config.experiment_files import DEFAULT_SPACE
from pipeline.config.loading import load_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import ConfigError, SearchError
from pipeline.search.run import SearchOptions, SearchOutcome, run_search

if TYPE_CHECKING:
    from pipeline.search.conclude import Conclusion

_logger = logging.getLogger(__name__)


class SearchResult(Displayed):
    """Result of a search: trials, recommended settings, and the run trained with them.

    Example:
        >>> result = pipeline.search("first_impressions", "cross_attention", num_trials=40)
        >>> result.trials.sort_values("ccc")
        >>> result.run.evaluation

    Args:
        outcome: Result of the workflow.
        conclusion: Comparison of the best and the default settings.
    """

    def __init__(self, outcome: SearchOutcome, conclusion: "Conclusion") -> None:
        self._outcome = outcome
        self._conclusion = conclusion
        self.path: Path = outcome.run.path
        """Run directory of the study."""
        self.run = Run(conclusion.run.path)
        """Run that was trained with the recommended settings."""

    @property
    def decision(self) -> str:
        """The recommended settings and the reason, in one line."""
        return self._conclusion.decision

    @property
    def config(self) -> ExperimentConfig:
        """Recommended configuration, for instance for `pipeline.train(result.config)`."""
        return load_config(self._outcome.run.search_dir / "best.yaml")

    @property
    def trials(self) -> pd.DataFrame:
        """Table of the trials: number, state, objectives, settings and duration."""
        return pd.read_csv(self._outcome.run.search_dir / "trials.csv").set_index("trial")

    def _title(self) -> str:
        status = self._outcome.status
        return (
            f"Search {self._outcome.study_name}: {status.num_complete} trials complete, "
            f"{status.num_pruned} pruned, {status.num_failed} failed"
        )

    def _values(self) -> Mapping[str, str]:
        return {
            "directory": str(self.path),
            "result": self.decision,
            "run": str(self.run.path),
            **headline_scores(self._conclusion.report),
        }


def search(
    config: ConfigLike,
    space: PathLike = DEFAULT_SPACE,
    *,
    num_trials: int | None = None,
    timeout_minutes: float | None = None,
    features_dir: PathLike | None = None,
    labels: PathLike | Sequence[PathLike] | None = None,
    settings: Mapping[str, Any] | None = None,
    run_dir: PathLike | None = None,
    study: str = "",
    storage: str = "",
    num_workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> SearchResult:
    """Search for better settings with Optuna, and compare them with the default settings.

    This function does the same as the command `search`. A second call with the same study continues
    it. Worker processes import the main module again, so a script must call this function below
    `if __name__ == "__main__":`.

    Args:
        config: Experiment whose settings are the default; see `train`.
        space: Path or name of the file that lists the settings to search.
        num_trials: Total number of trials of the study, including earlier calls.
        timeout_minutes: Time after which no new trial starts, in minutes.
        features_dir: Directory of the feature set. By default, the features of `config`.
        labels: `labels.npy`, or one or several label tables.
        settings: Dotted name -> value of settings that have priority over `config`.
        run_dir: Run directory of the study; `runs/STUDY` by default.
        study: Name of the study; by default, the names of the configuration and the space.
        storage: Database URL; a SQLite file in the run directory by default.
        num_workers: Number of parallel trials; by default one per core, at most 8.
        engine: `local` for processes on this machine, or `ray`.

    Raises:
        PipelineError: If the input is not valid, or no trial is complete.

    Example:
        >>> pipeline.search("demo", "demo", num_trials=20)
    """
    if num_trials is None and timeout_minutes is None:
        raise ConfigError("Give num_trials or timeout_minutes, or both.")
    features = feature_arguments(labels, features_dir=features_dir)
    experiment, given, _ = experiment_config(config, {**features, **(settings or {})})
    options = SearchOptions(
        num_trials=num_trials,
        timeout_minutes=timeout_minutes,
        num_workers=num_workers,
        storage=storage,
        study=study,
        run_dir=path_of(run_dir),
        engine=engine,
    )
    outcome = run_search(
        experiment,
        Path(space).expanduser(),
        options,
        given=given,
        report=lambda line: _logger.info("%s", line),
    )
    if outcome.conclusion is None:
        raise SearchError(
            f"{outcome.run.path}: this process has run trials for the search in "
            f"{outcome.main_process}, which computes the result. Call `search` there."
        )
    if outcome.undelivered is not None:
        _logger.warning("MLflow does not have the whole search yet (%s).", outcome.undelivered)
    return SearchResult(outcome, outcome.conclusion)
