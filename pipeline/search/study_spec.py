"""What a worker needs to know to run trials of a study, on whichever machine it is."""

from dataclasses import dataclass
from pathlib import Path

import optuna

from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.search.space.space import Space
from pipeline.search.study.storage import open_storage


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchJob:
    """A study, as its workers see it."""

    config: ExperimentConfig
    """The configuration that trials change, with absolute paths."""
    space: Space
    study_name: str
    storage_url: str
    study_dir: Path
    """Run directory of the study on this machine."""
    sampler_stream: str = "sampler"
    """Random stream that proposals are drawn from; every machine needs one of its own."""

    @property
    def run(self) -> RunDirectory:
        """Run directory of the study on this machine."""
        return RunDirectory(self.study_dir)

    @property
    def directions(self) -> list[str]:
        """Which way each objective goes."""
        settings = self.config.search
        first = "maximize" if HIGHER_IS_BETTER.get(settings.metric, False) else "minimize"
        return [first] if settings.second_objective == "none" else [first, "minimize"]

    @property
    def objectives(self) -> list[str]:
        """Name of each objective."""
        settings = self.config.search
        second = settings.second_objective
        return [settings.metric] if second == "none" else [settings.metric, second]

    @property
    def num_parts(self) -> int:
        """Fits a trial."""
        return max(1, self.config.search.num_folds) * self.config.search.num_seeds

    def open_storage(self) -> optuna.storages.RDBStorage:
        """Open the storage of the study."""
        settings = self.config.search
        return open_storage(
            self.storage_url,
            heartbeat_seconds=settings.heartbeat_seconds,
            max_retries=settings.max_retries,
        )
