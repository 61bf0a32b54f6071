"""Cross-validation by group: one run per fold, then one evaluation of all out-of-fold scores.

The final model is trained on the clips of all folds. Its number of epochs is the median of the
best epochs of the folds. Because no clips are held out, the final model has no validation scores.
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
from pipeline.training.checkpoint import load_initial, remove_initial
from pipeline.training.fit import FitHooks
from pipeline.workflows.scoring import Scores, concatenate_scores, score
from pipeline.workflows.session import open_session
from pipeline.workflows.training_steps import (
    Experiment,
    Outcome,
    evaluate_held_out,
    finalize_run,
    fit_network,
    log_experiment,
    read_best_epoch,
    train_nested,
)


def cross_validate(run: RunDirectory, experiment: Experiment, network: keras.Model) -> Outcome:
    """Train one model per fold, evaluate all out-of-fold scores, and train the final model.

    `network` is trained once per fold and once on all clips, each time from its initial weights.
    Thus its functions are traced only once. The models of finished folds are not trained again.
    """

    def reset() -> keras.Model:
        load_initial(run, network)
        return network

    folds = split_into_folds(experiment)
    hooks = FitHooks()
    with open_session(
        run,
        experiment.config,
        num_steps=experiment.num_steps * (len(folds) + 1),
        run_name=experiment.run_name,
    ) as session:
        fold_scores, best_epochs = [], []
        for number, split in enumerate(folds, start=1):
            name = f"fold-{number}"
            config = _fold_config(experiment.config)
            fold = dataclasses.replace(experiment, split=split, config=config, run_name=name)
            fold_run = RunDirectory(run.folds_dir / name)
            scores, best_epoch = _train_fold(fold_run, fold, reset, hooks, parent=run)
            fold_scores.append(scores)
            best_epochs.append(best_epoch)
        scores = concatenate_scores(fold_scores)
        config = for_all_clips(experiment.config, best_epochs)
        final = dataclasses.replace(experiment, config=config)
        reset()
        random_layers = log_experiment(session, final, network)
        if stays_at_start(best_epochs):
            hooks = dataclasses.replace(hooks, start="final")
        result, _ = fit_network(session, final, network, hooks)
        report = evaluate_held_out(session, experiment, scores)
        finalize_run(session, final, network, result, report, frozen_at_random=random_layers)
    remove_initial(run)
    return Outcome(fit=result, scores=scores, report=report, undelivered=session.mirror.undelivered)


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


def for_all_clips(config: ExperimentConfig, best_epochs: Sequence[int]) -> ExperimentConfig:
    """Return the configuration for training without held-out clips.

    The number of epochs is the median of `best_epochs`. These are the best epochs of the models
    that were trained with held-out clips.
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


def stays_at_start(best_epochs: Sequence[int]) -> bool:
    """Whether a model without held-out clips keeps its weights before training.

    This is true if the median of the best epochs, rounded to a whole number, is 0: in most folds,
    no epoch was clearly better than the ridge regression that the models started with.
    """
    return round(float(np.median(best_epochs))) == 0


def _train_fold(
    run: RunDirectory,
    fold: Experiment,
    reset: Callable[[], keras.Model],
    hooks: FitHooks,
    *,
    parent: RunDirectory,
) -> tuple[Scores, int]:
    """Return the held-out scores and the best epoch of a fold. Train its model if necessary."""
    if read_last_status(run) == "FINISHED":
        check_files(run, run.baselines_path)
        network = load_model(run.model_path)
        baselines = load_baselines(run.baselines_path)
        scores = score(network, baselines, fold.features, fold.split.validation)
        return scores, read_best_epoch(run)
    outcome = train_nested(run, fold, parent=parent, build=reset, hooks=hooks)
    if outcome.scores is None:
        raise AssertionError("a fold always has held-out clips")
    return outcome.scores, outcome.fit.best_epoch


def _fold_config(config: ExperimentConfig) -> ExperimentConfig:
    return dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, num_folds=0),
        tracking=config.tracking.unregistered(),
        evaluation=dataclasses.replace(config.evaluation, figures=False),
    )
