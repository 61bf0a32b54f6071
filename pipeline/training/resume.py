"""Resume a fit: compare the run log with the last checkpoint."""

from pipeline.core.errors import RunError
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
from pipeline.records.epochs import EpochRecord, epoch_records
from pipeline.training.checkpoint import CheckpointState, read_last_state


def last_state(run: RunDirectory) -> CheckpointState | None:
    """Return the state of the last intact checkpoint of a run; None for a new run.

    Raises:
        RunError: If the run log has `checkpoint` events, but no checkpoint is intact.
    """
    state = read_last_state(run.checkpoints_dir)
    if state is None and (committed := _commits(run)):
        raise RunError(
            f"{run.checkpoints_dir}: has no intact checkpoint, but {run.run_log_path.name} has "
            f"{max(committed)} epochs. Restore the directory from a backup, or start a new run."
        )
    return state


def records_before(
    state: CheckpointState | None, run: RunDirectory, run_log: RunLog
) -> list[EpochRecord]:
    """Return the records of the complete epochs, and mark later events as superseded.

    If the newest checkpoint is damaged, the run log has more epochs than the last intact
    checkpoint. The training of the additional epochs is repeated, with the same results. Because
    MLflow may already have these results, the old events stay in the run log, and no new events are
    written for these epochs.

    Raises:
        RunError: If the run log has fewer epochs than the checkpoint.
    """
    if state is None:
        # The run ended before its first checkpoint, so its events are marked as superseded.
        events = effective_events(read_events(run.run_log_path))
        if any(event.kind in (EPOCH, FINISHED) for event in events):
            epochs = [event.start for event in events if event.kind == EPOCH]
            run_log.log_resumed(0, offset=min(epochs, default=events[-1].end))
        return []
    with run.run_log_path.open("rb") as stream:
        stream.seek(max(0, state.journal_offset - 1))
        is_whole = stream.read(1) == b"\n"
    if not is_whole:
        raise RunError(
            f"{run.run_log_path}: changed since the checkpoint of epoch {state.epoch}: "
            f"no line ends at byte {state.journal_offset}. Restore the file from a backup, or "
            "start a new run."
        )
    committed = _commits(run)
    offset, num_epochs = state.journal_offset, max([state.epoch, *committed])
    if num_epochs > state.epoch:
        offset = committed[num_epochs].end
    elif num_epochs not in committed:
        # The run ended after this checkpoint was complete, but before its `checkpoint` event.
        run_log.log_checkpoint(state.epoch)
    run_log.log_resumed(state.epoch, offset=offset)
    run_log.num_logged_epochs = num_epochs
    records = epoch_records(effective_events(read_events(run.run_log_path)))
    if [record.epoch for record in records] != list(range(1, num_epochs + 1)):
        raise RunError(
            f"{run.run_log_path}: does not contain all {num_epochs} epochs of the checkpoint. "
            "Restore the file from a backup, or start a new run."
        )
    return records


def _commits(run: RunDirectory) -> dict[int, Event]:
    """Return the last `checkpoint` event of each epoch."""
    events = read_events(run.run_log_path)
    return {event.content["epoch"]: event for event in events if event.kind == CHECKPOINT}
