"""Cross-validation by group: a run a fold, one evaluation of all out-of-fold predictions.

The model that is kept is trained on all clips of the folds, for as many epochs as the
folds' best epochs have in the median; no number is reported of it, as no clip is left
that it has not seen.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_last_status
from pipeline.data.splits import Split, split_folds
from pipeline.evaluation.baselines import load_baselines
from pipeline.models.persistence import load_model
from pipeline.records.manifest import check_files
from pipeline.training.checkpoint import remove_initial
from pipeline.workflows.scoring import Scores, concatenate_scores, score
from pipeline.workflows.session import open_session, with_run_name
from pipeline.workflows.training_steps import (
    Experiment,
    Outcome,
    conclude,
    fit_network,
    judge,
    read_best_epoch,
    tell_experiment,
    train_nested,
)


def cross_validate(
    run: RunDirectory,
    experiment: Experiment,
    network: keras.Model,
    *,
    build: Callable[[], keras.Model],
) -> Outcome:
    """Train a run a fold and judge them together; folds that are complete are kept.

    Args:
        run: Directory of the whole; the folds' directories are in its `folds/`.
        experiment: The experiment; its training clips form the folds.
        network: Model that is trained on all of them at the end.
        build: Makes the model of a fold, with the weights that `network` starts from.
    """
    folds = split_into_folds(experiment)
    with open_session(
        run, experiment.config, num_steps=experiment.num_steps * (len(folds) + 1)
    ) as session:
        parts, best_epochs = [], []
        for number, split in enumerate(folds, start=1):
            config = _fold_config(experiment.config, number)
            fold = dataclasses.replace(experiment, split=split, config=config)
            directory = RunDirectory(run.folds_dir / f"fold-{number}")
            part, best_epoch = _train_fold(directory, fold, build, parent=run)
            parts.append(part)
            best_epochs.append(best_epoch)
        scores = concatenate_scores(parts)
        final = dataclasses.replace(
            experiment, config=for_all_clips(experiment.config, best_epochs)
        )
        at_random = tell_experiment(session, final, network)
        result, _ = fit_network(session, final, network)
        report = judge(session, experiment, scores)
        conclude(session, final, network, result, report, at_random=at_random)
    remove_initial(run.checkpoints_dir)
    return Outcome(fit=result, scores=scores, report=report, undelivered=session.mirror.undelivered)


def split_into_folds(experiment: Experiment) -> tuple[Split, ...]:
    """Split the training clips of an experiment into its folds.

    Raises:
        SplitError: If there are fewer groups than folds.
    """
    return split_folds(
        experiment.features.groups,
        num_folds=experiment.config.training.num_folds,
        seed=experiment.config.seed,
        rows=experiment.split.train,
    )


def _train_fold(
    directory: RunDirectory,
    fold: Experiment,
    build: Callable[[], keras.Model],
    *,
    parent: RunDirectory,
) -> tuple[Scores, int]:
    """Train one fold, unless it is done; return its held-out scores and its best epoch."""
    if read_last_status(directory) == "FINISHED":
        check_files(directory, directory.baselines_path)
        network = load_model(directory.model_path)
        baselines = load_baselines(directory.baselines_path)
        scores = score(network, baselines, fold.features, fold.split.validation)
        return scores, read_best_epoch(directory)
    outcome = train_nested(directory, fold, parent=parent, build=build)
    if outcome.scores is None:
        raise AssertionError("a fold always holds clips out")
    return outcome.scores, outcome.fit.best_epoch


def _fold_config(config: ExperimentConfig, number: int) -> ExperimentConfig:
    training = dataclasses.replace(config.training, num_folds=0)
    tracking = config.tracking.unregistered()
    evaluation = dataclasses.replace(config.evaluation, figures=False)
    config = dataclasses.replace(
        config, training=training, tracking=tracking, evaluation=evaluation
    )
    return with_run_name(config, f"{config.tracking.run_name or config.name}-fold-{number}")


def for_all_clips(config: ExperimentConfig, best_epochs: Sequence[int]) -> ExperimentConfig:
    """Return the configuration of a fit that holds nothing out.

    It has as many epochs as the fits that held clips out needed in the median.
    """
    num_epochs = max(1, round(float(np.median(best_epochs))))
    training = dataclasses.replace(
        config.training,
        num_epochs=num_epochs,
        warmup_epochs=min(config.training.warmup_epochs, num_epochs),
        early_stopping_patience=0,
        reduce_lr_patience=0,
    )
    return dataclasses.replace(config, training=training)
