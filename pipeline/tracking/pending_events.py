"""Read the events of a run log that MLflow does not have yet and that no resume can take back."""

from dataclasses import dataclass

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import (
    CHECKPOINT,
    EPOCH,
    FINISHED,
    RESUMED,
    SYSTEM_METRICS,
    Event,
    effective_events,
    read_events,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """Events to deliver."""

    events: list[Event]
    end: int
    """Offset from which the run log has to be read again next time."""


def read_news(run: RunDirectory, *, start: int) -> News:
    """Read the events from byte `start` on that no resume can take back.

    A resume goes back to the last checkpoint, and the events behind it are logged again with
    other times. So an epoch waits for its checkpoint, and what follows a checkpoint waits for
    the next one or for the end of the run. A run that ended as FAILED or KILLED may be resumed:
    its status is delivered, and so are samples of the system, which are never logged again.
    """
    decided: list[Event] = []
    waiting: list[Event] = []
    held_from: int | None = None  # a checkpoint, or the first epoch: what follows has to wait
    has_ended = False
    end = start
    for event in read_events(run.run_log_path, start=start):
        end = event.end
        if event.kind == FINISHED:
            is_final = event.content["status"] == "FINISHED"
            decided += [held for held in waiting if is_final or held.kind == SYSTEM_METRICS] + [
                event
            ]
            waiting = [held for held in waiting if not is_final and held.kind != SYSTEM_METRICS]
            held_from = held_from if waiting else None
            has_ended = True
        elif event.kind in (CHECKPOINT, RESUMED):
            decided += waiting
            waiting = []
            if event.kind == RESUMED:
                decided.append(event)
            held_from = event.start if event.content["epoch"] else None
            has_ended = False
        elif event.kind == EPOCH or (held_from is not None and not has_ended):
            waiting.append(event)
            held_from = event.start if held_from is None else held_from
        else:
            decided.append(event)
    return News(events=effective_events(decided), end=end if held_from is None else held_from)
