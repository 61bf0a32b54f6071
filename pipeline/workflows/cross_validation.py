"""Cross-validation by group: one run per fold, then one evaluation of all out-of-fold scores.

The final model is trained on the clips of all folds. Its number of epochs is the median of the
best epochs of the folds. Because no clips are held out, the final model has no validation scores.
"""

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Final

import keras
import numpy as np
import psutil
import rich.console
import tensorflow as tf

from pipeline.config.schema import ExperimentConfig
from pipeline.core.cores import num_usable_cores
from pipeline.core.progress_lines import ProgressLines
from pipeline.core.run_directory import RunDirectory
from pipeline.figures.processes import DrawingProcesses
from pipeline.tracking.tracking_process import TrackingProcess
from pipeline.training.checkpoint import remove_initial
from pipeline.workers.helper_group import HelperGroup
from pipeline.workers.messages import Message, show_messages
from pipeline.workflows.folds import FoldResult, FoldTrainer
from pipeline.workflows.scoring import concatenate_scores
from pipeline.workflows.session import open_session
from pipeline.workflows.training_steps import (
    Experiment,
    Outcome,
    evaluate_held_out,
    finalize_run,
    fit_network,
    log_experiment,
)

_MAX_PROCESSES: Final = 4
_PROCESS_BYTES: Final = 700_000_000
"""Memory of a process that trains a small model, mostly for TensorFlow."""


def cross_validate(
    run: RunDirectory,
    experiment: Experiment,
    network: keras.Model,
    *,
    is_loadable: bool,
    tracking: TrackingProcess | None = None,
) -> Outcome:
    """Train one model per fold, evaluate all out-of-fold scores, and train the final model.

    The models of finished folds are not trained again. Several processes train the folds at the
    same time, with the same results as one process. There are as many processes as usable cores,
    but at most four, and at most one per unfinished fold. A helper process needs 0.7 GB of memory,
    and the size of the features if `training.cache` is `memory`. The helper processes may need at
    most half of the available memory. If TensorFlow can use a GPU, or `is_loadable` is False, this
    process trains all folds.

    Args:
        run: Prepared directory of the run.
        experiment: Inputs of the run.
        network: Model with its initial weights. It becomes the final model.
        is_loadable: Whether another process can load the network from the run directory. This is
            uncertain for a network of the user, because its classes may be missing there.
        tracking: Process that sends the runs to MLflow; by default each training process.
    """
    trainer = FoldTrainer(run, experiment, network, tracking=tracking)
    with (
        open_session(
            run,
            experiment.config,
            num_steps=experiment.num_steps * (len(trainer.numbers) + 1),
            run_name=experiment.run_name,
            tracking=tracking,
        ) as session,
        DrawingProcesses() as processes,
    ):
        num_unfinished = sum(not trainer.is_finished(number) for number in trainer.numbers)
        num_helpers = count_helpers(experiment, num_unfinished) if is_loadable else 0
        folds = _train_folds(run, trainer, num_helpers)
        if experiment.config.evaluation.figures:
            processes.start()
        scores = concatenate_scores([fold.scores for fold in folds])
        best_epochs = [fold.summary.best_epoch for fold in folds]
        config = for_all_clips(experiment.config, best_epochs)
        final = dataclasses.replace(experiment, config=config)
        trainer.reset()
        random_layers = log_experiment(session, final, network)
        hooks = trainer.hooks
        if stays_at_start(best_epochs):
            hooks = dataclasses.replace(hooks, start="final")
        result, _ = fit_network(session, final, network, hooks)
        report = evaluate_held_out(session, experiment, scores)
        finalize_run(
            *(session, final, network, result, report),
            frozen_at_random=random_layers,
            processes=processes,
        )
    remove_initial(run)
    return Outcome(fit=result, scores=scores, report=report, undelivered=session.mirror.undelivered)


def count_helpers(experiment: Experiment, num_unfinished: int) -> int:
    """Return the number of helper processes for `num_unfinished` folds; see `cross_validate`."""
    if tf.config.get_visible_devices("GPU"):
        return 0
    num_bytes = _PROCESS_BYTES
    if experiment.config.training.cache == "memory":
        streams = experiment.features.streams.values()
        num_bytes += sum(4 * math.prod(stream.shape) for stream in streams)  # float32
    fitting = int(psutil.virtual_memory().available) // 2 // num_bytes
    return max(0, min(num_usable_cores() - 1, num_unfinished - 1, _MAX_PROCESSES - 1, fitting))


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


def _train_folds(run: RunDirectory, trainer: FoldTrainer, num_helpers: int) -> list[FoldResult]:
    """Train the folds in this process and in helper processes; return their results in order."""
    console = rich.console.Console(stderr=True)
    lines = ProgressLines(console)

    def show(number: int, reply: tuple[FoldResult, Sequence[Message]]) -> None:
        fold, messages = reply
        show_messages(messages)
        if console.is_terminal or lines.is_due:
            summary = fold.summary
            best = f"best epoch {summary.best_epoch}/{summary.num_epochs}"
            value = f"{summary.monitor} {summary.best_value:.4f}"
            lines.print(f"fold {number}  {best}  {value}")

    with HelperGroup() as helpers:
        threads = tf.config.threading
        helpers.add_processes(
            num_helpers,
            "pipeline.workflows.fold_worker:build_fold_work",
            *(run.path, sys.argv),
            (
                threads.get_intra_op_parallelism_threads(),
                threads.get_inter_op_parallelism_threads(),
            ),
        )
        results = helpers.map(
            lambda number: (trainer.train(number), []), trainer.numbers, on_result=show
        )
    return [fold for fold, _ in results.values()]
