"""Split the clips into folds, and train the model of one fold."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import keras

from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_last_status
from pipeline.data.splits import Split, split_folds
from pipeline.evaluation.baselines import load_baselines
from pipeline.models.persistence import load_model
from pipeline.records.manifest import check_files
from pipeline.records.summary import Summary, read_summary
from pipeline.tracking.tracking_process import TrackingProcess
from pipeline.training.checkpoint import load_initial
from pipeline.training.fit import FitHooks
from pipeline.workflows.scoring import Scores, score
from pipeline.workflows.training_steps import Experiment, train_nested


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldResult:
    """Result of a fold."""

    scores: Scores
    """Scores of the held-out clips."""
    summary: Summary


class FoldTrainer:
    """Trains the folds of a cross-validation with one network, whose functions are traced once.

    Args:
        run: Directory of the cross-validation. Its session must be open, in any process.
        experiment: Inputs of the cross-validation.
        network: Network that is trained once per fold, each time from its initial weights.
        shows_progress: Whether a progress bar is shown.
        tracking: Process that sends the runs of the folds to MLflow; by default this process.
    """

    def __init__(
        self,
        run: RunDirectory,
        experiment: Experiment,
        network: keras.Model,
        *,
        shows_progress: bool = True,
        tracking: TrackingProcess | None = None,
    ) -> None:
        self._run = run
        self._experiment = dataclasses.replace(experiment, config=_fold_config(experiment.config))
        self._network = network
        self._tracking = tracking
        self._splits = split_into_folds(experiment)
        self.hooks: Final = FitHooks(shows_progress=shows_progress)

    @property
    def numbers(self) -> range:
        """Numbers of the folds, from 1."""
        return range(1, len(self._splits) + 1)

    def reset(self) -> keras.Model:
        """Return the network with its initial weights."""
        load_initial(self._run, self._network)
        return self._network

    def is_finished(self, number: int) -> bool:
        """Return True if the model of a fold is trained and evaluated."""
        return read_last_status(self._directory(number)) == "FINISHED"

    def train(self, number: int) -> FoldResult:
        """Train the model of a fold, if necessary, and score its held-out clips."""
        run = self._directory(number)
        fold = dataclasses.replace(
            self._experiment, split=self._splits[number - 1], run_name=run.path.name
        )
        if self.is_finished(number):
            check_files(run, run.baselines_path)
            network = load_model(run.model_path)
            baselines = load_baselines(run.baselines_path)
            scores: Scores | None = score(network, baselines, fold.features, fold.split.validation)
        else:
            outcome = train_nested(
                run,
                fold,
                parent=self._run,
                build=self.reset,
                hooks=self.hooks,
                tracking=self._tracking,
            )
            scores = outcome.scores
        if scores is None:
            raise AssertionError("a fold always has held-out clips")
        check_files(run, run.summary_path)
        return FoldResult(scores=scores, summary=read_summary(run.summary_path))

    def _directory(self, number: int) -> RunDirectory:
        return RunDirectory(self._run.folds_dir / f"fold-{number}")


def split_into_folds(experiment: Experiment) -> tuple[Split, ...]:
    """Split the training clips of an experiment into folds.

    Raises:
        SplitError: If there are fewer groups than folds.
    """
    return split_folds(
        experiment.features.groups,
        num_folds=experiment.config.training.num_folds,
        seed=experiment.config.split_seed,
        rows=experiment.split.train,
    )


def _fold_config(config: ExperimentConfig) -> ExperimentConfig:
    return dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, num_folds=0),
        tracking=config.tracking.unregistered(),
        evaluation=dataclasses.replace(config.evaluation, figures=False),
    )
