"""Fit a model: the one training loop, for `train`, for the Python interface and for a search."""

import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pipeline.config.schema import TrainingConfig
from pipeline.core.errors import ConfigError, RunError, TrainingError, install_command
from pipeline.core.interrupts import check_interrupt
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import (
    CHECKPOINT,
    EPOCH,
    FINISHED,
    Event,
    RunLog,
    effective_events,
    read_events,
)
from pipeline.data.batches import LabelledBatches
from pipeline.metrics.regression import HIGHER_IS_BETTER
from pipeline.records.epochs import EpochRecord, epoch_records
from pipeline.training.best_weights import BestWeights
from pipeline.training.callback_timer import EpochEndTimer
from pipeline.training.callbacks import (
    LearningRateTrackerCallback,
    PerformanceMonitorCallback,
    RecordLog,
    TimeTrackingCallback,
)
from pipeline.training.checkpoint import (
    CheckpointState,
    EpochCheckpoint,
    read_last_state,
)
from pipeline.training.instrumented_model import InstrumentedModel
from pipeline.training.losses import build_loss
from pipeline.training.non_finite_loss import NonFiniteLossGuard
from pipeline.training.optimizer import build_optimizer
from pipeline.training.progress import ProgressBar
from pipeline.training.recorder import EpochRecorder

_logger = logging.getLogger(__name__)

_LOGGED_BATCHES = 20_000
"""How many steps the JSON logs hold at the most; they are written anew every epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """What a fit came to."""

    history: keras.callbacks.History
    """Values of every epoch, those before a resume included."""
    records: list[EpochRecord]
    """The epochs, measured."""
    best_epoch: int
    """Epoch whose weights the model has now; the last one where nothing was held out."""
    monitor: str
    """Value that decided the best epoch, e.g. `val_mae`."""
    best_value: float
    """That value at the best epoch."""
    callback_seconds: dict[str, float]
    """What the ends of the epochs cost in this process: logging, checkpoint, callbacks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitHooks:
    """What a caller adds to a fit."""

    callbacks: Sequence[keras.callbacks.Callback] = ()
    """Run after the logs are written and before the checkpoint is taken."""
    on_commit: Callable[[], None] = field(default=lambda: None)
    """Called after each epoch is safe on disk."""
    is_resumable: bool = True
    """Whether every epoch is kept on disk, so that a run that is killed goes on from its last.

    A trial of a search begins anew: its best epoch is kept in memory, its logs are written once.
    """
    shows_progress: bool = True
    """Whether there is a progress bar; workers of a search would draw over each other's."""


def fit(
    network: keras.Model,
    training: LabelledBatches,
    validation: LabelledBatches | None,
    config: TrainingConfig,
    *,
    run: RunDirectory,
    run_log: RunLog,
    hooks: FitHooks | None = None,
) -> FitResult:
    """Train `network` and leave it with the weights of its best epoch.

    A run directory that holds a checkpoint is continued, to the same values that an
    uninterrupted run has.

    Args:
        network: Model to train; maps the inputs of the batches to scores.
        training: Training clips.
        validation: Held-out clips; None trains to the last epoch and keeps that.
        config: How to train.
        run: Run directory for checkpoints and logs.
        run_log: Run log of the run.
        hooks: What the caller adds.

    Raises:
        ConfigError: If TensorBoard is asked for and is not installed.
        TrainingError: If nothing can be trained, or the loss is no longer a number.
        RunError: If the checkpoint cannot be read, or the run log does not reach to it.
    """
    refuse_frozen(network)
    refuse_missing_tensorboard(config)
    _warn_of_single_clip_batches(training, config)
    hooks = hooks or FitHooks()
    state = _last_state(run) if hooks.is_resumable else None
    recorder = EpochRecorder(run_log, _records_before(state, run, run_log))
    monitor, maximize = _monitor(config, validated=validation is not None)
    model = _compiled(network, training, config)
    stopping = _stopping(config, monitor, maximize)
    kept: dict[str, Any] = {
        "network": network,
        "monitor": monitor,
        "maximize": maximize,
        "run_log": run_log,
        "on_commit": hooks.on_commit,
    }
    checkpoint = (
        EpochCheckpoint(run.checkpoints_dir, **kept, stateful=stopping, resume_from=state)
        if hooks.is_resumable
        else BestWeights(**kept)
    )
    progress = ProgressBar(
        config.num_epochs,
        monitor=monitor,
        maximize=maximize,
        best=state.best_value if state else None,
        is_shown=hooks.shows_progress,
    )
    logs = _logs(run, recorder, training.num_batches * config.num_epochs)
    epoch_end = EpochEndTimer()
    callbacks = [
        epoch_end.first,
        _EpochOrder(training),
        _InterruptCheck(),
        NonFiniteLossGuard(),
        recorder,
        *stopping,
        *(logs if hooks.is_resumable else ()),
        *_tensorboard(config, run.path),
        *hooks.callbacks,
        progress,
        checkpoint,
        epoch_end.last,
    ]
    if state is None or not (state.stopped or state.epoch >= config.num_epochs):
        try:
            model.fit(
                training.dataset(),
                validation_data=validation.dataset() if validation else None,
                epochs=config.num_epochs,
                initial_epoch=state.epoch if state else 0,
                callbacks=callbacks,
                shuffle=False,  # the batches have an order of their own
                verbose=0,
            )
            check_interrupt()
        except tf.errors.OpError as error:
            # A signal may arrive while a step reads the clock: TensorFlow wraps what it raises.
            if "KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from error
            raise
        finally:
            progress.close()
            if not hooks.is_resumable:
                for log in logs:
                    log.write()
    best_epoch = checkpoint.best_epoch if validation else recorder.records[-1].epoch
    checkpoint.restore(best_epoch)
    return FitResult(
        history=history_of(recorder.records),
        records=recorder.records,
        best_epoch=best_epoch,
        monitor=monitor,
        best_value=recorder.records[best_epoch - 1].logs()[monitor],
        callback_seconds=epoch_end.parts(logs, checkpoint),
    )


def refuse_missing_tensorboard(config: TrainingConfig) -> None:
    """Refuse to write TensorBoard logs without it: Keras would notice after the first epoch.

    Raises:
        ConfigError: If it is asked for and not installed.
    """
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard needs TensorBoard, which is not installed. "
            f"Install it with `{install_command('tensorboard')}`, or switch the setting off."
        )


def refuse_frozen(network: keras.Model) -> None:
    """Refuse a model that cannot learn.

    Raises:
        TrainingError: If it has no weights yet, or every weight is frozen.
    """
    if not network.built:
        raise TrainingError(
            f"{network.name}: has no weights yet. Call it on one batch before it is trained."
        )
    if not network.trainable_weights:
        raise TrainingError(
            f"{network.name}: none of its {network.count_params()} weights is trainable, so "
            "nothing would be learned. Look at training.frozen, or set "
            "`layer.trainable = True` for the layers to train."
        )


def _warn_of_single_clip_batches(training: LabelledBatches, config: TrainingConfig) -> None:
    """Warn of batches from which the CCC loss learns nothing: one clip has no correlation."""
    last = training.num_clips % config.batch_size
    if "ccc" not in config.loss_weights or (config.batch_size > 1 and last != 1):
        return
    which = "every batch holds" if config.batch_size == 1 else "the last batch of an epoch holds"
    _logger.warning(
        "training.loss: %s one clip, from which the ccc loss learns nothing. Choose another "
        "training.batch_size than %d: %d clips are trained on.",
        *(which, config.batch_size, training.num_clips),
    )


class _EpochOrder(keras.callbacks.Callback):
    """Shuffles the training clips as this epoch demands, whichever epochs ran before."""

    def __init__(self, batches: LabelledBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del logs
        self._batches.shuffle_for(epoch)


class _InterruptCheck(keras.callbacks.Callback):
    """Raises `KeyboardInterrupt` for a signal whose exception was lost inside TensorFlow.

    An epoch that is complete is committed first.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del epoch, logs
        check_interrupt()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        check_interrupt()


def _last_state(run: RunDirectory) -> CheckpointState | None:
    state = read_last_state(run.checkpoints_dir)
    if state is None and (committed := _commits(run)):
        raise RunError(
            f"{run.checkpoints_dir}: holds no intact checkpoint, but {run.run_log_path.name} holds "
            f"{max(committed)} epochs. Restore the directory from a backup, or start a new run."
        )
    return state


def _records_before(
    state: CheckpointState | None, run: RunDirectory, run_log: RunLog
) -> list[EpochRecord]:
    """Return the records of the epochs that are done, and supersede what came after them.

    The run log may hold more epochs than the checkpoint: those whose own checkpoints are
    damaged. They are trained again, to the same values, and MLflow has them. So their events
    stay, and are not written a second time.
    """
    if state is None:
        _supersede_first_epoch(run, run_log)
        return []
    _check_reaches(run, state)
    committed = _commits(run)
    offset, num_epochs = state.journal_offset, max([state.epoch, *committed])
    if num_epochs > state.epoch:
        offset = committed[num_epochs].end
    elif num_epochs not in committed:
        # The run ended between the commit of this checkpoint and its event.
        run_log.log_checkpoint(state.epoch)
    run_log.log_resumed(state.epoch, offset=offset)
    run_log.num_logged_epochs = num_epochs
    records = epoch_records(effective_events(read_events(run.run_log_path)))
    if [record.epoch for record in records] != list(range(1, num_epochs + 1)):
        raise RunError(
            f"{run.run_log_path}: does not hold the {num_epochs} epochs that the checkpoint "
            "stands on. Restore the file from a backup, or start a new run."
        )
    return records


def _commits(run: RunDirectory) -> dict[int, Event]:
    """Return the last `checkpoint` event of each epoch."""
    events = read_events(run.run_log_path)
    return {event.content["epoch"]: event for event in events if event.kind == CHECKPOINT}


def _check_reaches(run: RunDirectory, state: CheckpointState) -> None:
    """Check that the run log has whole lines up to where it was at the checkpoint."""
    with run.run_log_path.open("rb") as stream:
        stream.seek(max(0, state.journal_offset - 1))
        is_whole = stream.read(1) == b"\n"
    if not is_whole:
        raise RunError(
            f"{run.run_log_path}: is not as it was at the checkpoint of epoch {state.epoch}: "
            f"no line ends at byte {state.journal_offset}. Restore the file from a backup, or "
            "start a new run."
        )


def _supersede_first_epoch(run: RunDirectory, run_log: RunLog) -> None:
    """Take back the epoch that a run told before it ended without a checkpoint."""
    events = effective_events(read_events(run.run_log_path))
    if not any(event.kind in (EPOCH, FINISHED) for event in events):
        return
    epochs = [event.start for event in events if event.kind == EPOCH]
    run_log.log_resumed(0, offset=min(epochs, default=events[-1].end))


def _monitor(config: TrainingConfig, *, validated: bool) -> tuple[str, bool]:
    """Return the name of the deciding value in the logs, and whether more is better."""
    if not validated:
        return "loss", False
    return f"val_{config.monitor}", HIGHER_IS_BETTER.get(config.monitor, False)


def _compiled(
    network: keras.Model, training: LabelledBatches, config: TrainingConfig
) -> InstrumentedModel:
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    steps_per_epoch = training.num_batches
    model = InstrumentedModel(network, steps_per_epoch=steps_per_epoch)
    model.compile(
        optimizer=build_optimizer(config, steps_per_epoch=steps_per_epoch),
        loss=build_loss(config.loss_weights, huber_delta=config.huber_delta),
        steps_per_execution=min(config.steps_per_execution, steps_per_epoch),
        # Compiling by XLA costs a small model more than it gains, and hides its steps.
        jit_compile=False,
    )
    # Variables that exist before the first call halve the time that tracing takes.
    model.optimizer.build(network.trainable_variables)
    return model


def _stopping(
    config: TrainingConfig, monitor: str, maximize: bool
) -> list[keras.callbacks.Callback]:
    mode = "max" if maximize else "min"
    callbacks: list[keras.callbacks.Callback] = []
    if config.early_stopping_patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=monitor, mode=mode, patience=config.early_stopping_patience
            )
        )
    if config.reduce_lr_patience:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor=monitor,
                mode=mode,
                patience=config.reduce_lr_patience,
                factor=config.reduce_lr_factor,
                min_delta=0.0,  # Keras' own asks for 1e-4, a whole per cent of a small MSE
            )
        )
    return callbacks


def _logs(run: RunDirectory, recorder: EpochRecorder, num_steps: int) -> list[RecordLog]:
    frequency = -(-num_steps // _LOGGED_BATCHES)
    return [
        PerformanceMonitorCallback(run.metrics_dir, recorder, batch_log_frequency=frequency),
        TimeTrackingCallback(run.time_dir, recorder, batch_log_frequency=frequency),
        LearningRateTrackerCallback(run.learning_rate_dir, recorder),
    ]


def _tensorboard(config: TrainingConfig, run_dir: Path) -> list[keras.callbacks.Callback]:
    if not config.tensorboard:
        return []
    return [keras.callbacks.TensorBoard(log_dir=str(run_dir / "tensorboard_logs"))]


def history_of(records: list[EpochRecord]) -> keras.callbacks.History:
    """Return Keras' own form of the history, over all epochs of the run."""
    history = keras.callbacks.History()
    history.epoch = [record.epoch - 1 for record in records]
    rows = [record.logs() for record in records]
    history.history = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
    return history
