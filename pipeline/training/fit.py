"""The training loop, for the command `train`, the Python interface and hyperparameter searches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import keras
import tensorflow as tf
from keras.callbacks import EarlyStopping, LambdaCallback, ReduceLROnPlateau, TensorBoard

from pipeline.config.schema import TrainingConfig
from pipeline.core.interrupts import check_interrupt
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.data.batches import LabelledBatches
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.epochs import EpochRecord, TraitScores
from pipeline.training.best_epoch import BestEpoch, BestWeights
from pipeline.training.callbacks import (
    EpochEndTimer,
    LearningRateTrackerCallback,
    NonFiniteLossGuard,
    PerformanceMonitorCallback,
    ProgressBar,
    RecordLog,
    TimeTrackingCallback,
)
from pipeline.training.checkpoint import CheckpointState, EpochCheckpoint
from pipeline.training.checks import (
    check_tensorboard,
    check_trainable,
    warn_of_single_clip_batches,
)
from pipeline.training.instrumented_model import InstrumentedModel
from pipeline.training.recorder import EpochRecorder
from pipeline.training.resume import last_state, records_before
from pipeline.training.starting_point import StartingPoint
from pipeline.training.traced_models import TracedModels
from pipeline.training.validation import Validation

Start = Literal["ignored", "candidate", "final"]

_MAX_LOGGED_BATCHES = 20_000
"""Maximum number of training steps in a JSON log. A larger log would take too long to write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """Result of a fit."""

    history: keras.callbacks.History
    """Losses and metrics of every epoch, including the epochs before an interruption."""
    records: list[EpochRecord]
    best_epoch: int
    """Epoch of the restored weights. Without validation clips, this is the last epoch.

    0 means that the head weights before training are restored; see `StartingPoint`.
    """
    monitor: str
    """Name of the loss or metric that determines the best epoch, e.g. `val_mae`."""
    best_value: float
    """Value of `monitor` in the best epoch."""
    best_metrics: TraitScores | None
    """Validation metrics in the best epoch; None without validation clips."""
    callback_seconds: dict[str, float]
    """Times at epoch ends in this process, in seconds: logs, checkpoints, other callbacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitHooks:
    """Callbacks and options that a caller adds to a fit."""

    callbacks: Sequence[keras.callbacks.Callback] = ()
    """Callbacks that run after the logs are written and before the checkpoint is saved."""
    on_commit: Callable[[], None] = field(default=lambda: None)
    """Function that is called once per epoch, after the checkpoint is saved."""
    is_resumable: bool = True
    """Whether a checkpoint is saved after every epoch, so that a killed run can be resumed.

    If False, the best weights are stored in memory, and the JSON logs are written only at the end.
    """
    shows_progress: bool = True
    """Whether a progress bar is shown."""
    start: Start = "ignored"
    """Role of the head weights before training: ignored, `candidate`, or `final`.

    A `candidate` is restored if no epoch is clearly better on the validation clips; see
    `StartingPoint`. `final` is restored after training in any case.
    """
    models: TracedModels = field(default_factory=TracedModels)
    """Traced functions of earlier fits of the same network."""


def fit(
    network: keras.Model,
    training: LabelledBatches,
    validation_clips: LabelledBatches | None,
    config: TrainingConfig,
    *,
    run: RunDirectory,
    run_log: RunLog,
    hooks: FitHooks | None = None,
) -> FitResult:
    """Train a network and restore the weights of the best epoch.

    If the run directory contains a checkpoint, training continues from this checkpoint. The results
    equal the results of an uninterrupted run. Without validation clips, the weights of the last
    epoch are used.

    Raises:
        ConfigError: If TensorBoard is needed but not installed.
        TrainingError: If no weight is trainable, or a loss is NaN or infinite.
        RunError: If the checkpoint or the run log is damaged.
    """
    check_trainable(network)
    check_tensorboard(config)
    warn_of_single_clip_batches(training, config)
    hooks = hooks or FitHooks()
    state = last_state(run) if hooks.is_resumable else None
    recorder = EpochRecorder(run_log, records_before(state, run, run_log))
    monitor = f"val_{config.monitor}" if validation_clips else "loss"
    maximize = monitor != "loss" and HIGHER_IS_BETTER.get(config.monitor, False)
    model = hooks.models.prepare(
        network,
        config,
        trait_names=training.trait_names,
        steps_per_epoch=training.num_batches,
    )
    validation = Validation(model, validation_clips) if validation_clips else None
    # A resumed run starts with the same weights. Its checkpoint is restored later, in `_train`.
    start = None
    if hooks.start != "ignored":
        start = StartingPoint(model, validation, monitor=config.monitor)
    stopping = _stopping(config, monitor, maximize)
    goal: dict[str, Any] = {"monitor": monitor, "maximize": maximize}
    saving = {**goal, "network": network, "run_log": run_log, "on_commit": hooks.on_commit}
    checkpoint: BestEpoch = BestWeights(**saving)
    if hooks.is_resumable:
        checkpoint = EpochCheckpoint(
            run.checkpoints_dir, stateful=stopping, resume_from=state, **saving
        )
    best = state.best_value if state else None
    progress = ProgressBar(config.num_epochs, best=best, is_shown=hooks.shows_progress, **goal)
    frequency = -(-training.num_batches * config.num_epochs // _MAX_LOGGED_BATCHES)
    logs: list[RecordLog] = [
        PerformanceMonitorCallback(run.metrics_dir, recorder, batch_log_frequency=frequency),
        TimeTrackingCallback(run.time_dir, recorder, batch_log_frequency=frequency),
        LearningRateTrackerCallback(run.learning_rate_dir, recorder),
    ]
    epoch_end = EpochEndTimer()
    callbacks = [
        epoch_end.first,
        # TensorFlow can lose the exception of a signal handler, so each step checks for interrupts.
        LambdaCallback(
            on_epoch_begin=lambda epoch, logs: check_interrupt(),
            on_train_batch_end=lambda batch, logs: check_interrupt(),
            on_test_batch_end=lambda batch, logs: check_interrupt(),
        ),
        NonFiniteLossGuard(),
        recorder,
        *stopping,
        *(logs if hooks.is_resumable else ()),
        *([TensorBoard(log_dir=str(run.path / "tensorboard_logs"))] if config.tensorboard else ()),
        *hooks.callbacks,
        progress,
        checkpoint,
        epoch_end.last,
    ]
    if state is None or not (state.stopped or state.epoch >= config.num_epochs):
        try:
            _train(model, training, validation, config, state, callbacks)
        finally:
            progress.close()
            if not hooks.is_resumable:
                for log in logs:
                    log.write()
    best_epoch = checkpoint.best_epoch if validation else recorder.records[-1].epoch
    checkpoint.restore(best_epoch)
    best_record = recorder.records[best_epoch - 1]
    best_value, best_metrics = best_record.logs()[monitor], best_record.val_metrics
    if start is not None and (hooks.start == "final" or not start.is_beaten()):
        start.restore()
        best_epoch = 0
        if start.metrics is not None:
            best_value, best_metrics = start.value, start.metrics
    return FitResult(
        history=build_history(recorder.records),
        records=recorder.records,
        best_epoch=best_epoch,
        monitor=monitor,
        best_value=best_value,
        best_metrics=best_metrics,
        callback_seconds=epoch_end.parts(logs, checkpoint),
    )


def _train(
    model: InstrumentedModel,
    training: LabelledBatches,
    validation: Validation | None,
    config: TrainingConfig,
    state: CheckpointState | None,
    callbacks: list[Any],
) -> None:
    first_epoch = state.epoch if state else 0
    listeners = keras.callbacks.CallbackList(
        callbacks, model=model, epochs=config.num_epochs, steps=training.num_batches, verbose=0
    )
    batches = iter(training.dataset(first_epoch=first_epoch))
    model.stop_training = False
    try:
        listeners.on_train_begin()
        for epoch in range(first_epoch, config.num_epochs):
            listeners.on_epoch_begin(epoch)
            logs = model.train_epoch(batches, training.num_batches, listeners)
            if validation is not None:
                listeners.on_test_begin()
                val_logs, _ = validation.run(listeners)
                listeners.on_test_end(val_logs)
                logs |= {f"val_{name}": value for name, value in val_logs.items()}
            listeners.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        listeners.on_train_end(logs)
        check_interrupt()
    except tf.errors.OpError as error:
        # If a signal arrives while a step reads the clock, TensorFlow wraps the exception.
        if "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise


def _stopping(
    config: TrainingConfig, monitor: str, maximize: bool
) -> list[keras.callbacks.Callback]:
    monitored = {"monitor": monitor, "mode": "max" if maximize else "min"}
    callbacks: list[keras.callbacks.Callback] = []
    if config.early_stopping_patience:
        callbacks.append(EarlyStopping(patience=config.early_stopping_patience, **monitored))
    if config.reduce_lr_patience:
        callbacks.append(
            ReduceLROnPlateau(
                patience=config.reduce_lr_patience,
                factor=config.reduce_lr_factor,
                min_delta=0.0,  # the Keras default, 1e-4, is 1 % of an MSE of 0.01
                **monitored,
            )
        )
    return callbacks


def build_history(records: list[EpochRecord]) -> keras.callbacks.History:
    """Return the losses and metrics of all epochs as a Keras `History`."""
    history = keras.callbacks.History()
    history.epoch = [record.epoch - 1 for record in records]
    rows = [record.logs() for record in records]
    history.history = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
    return history
