"""What a journal has to tell that the store does not have, and no resume can take back."""

from dataclasses import dataclass

from pipeline.core.journal import (
    CHECKPOINT,
    EPOCH,
    FINISHED,
    RESUMED,
    Event,
    effective_events,
    read_events,
)
from pipeline.core.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a run has to tell."""

    events: list[Event]
    end: int
    """Journal bytes behind which something is undecided, or nothing has been told yet."""


def read_news(run: RunDirectory, *, start: int) -> News:
    """Read the events that no resume can take back any more.

    An epoch counts once its checkpoint is taken, and what is told behind it waits with it;
    only the end of a run is told at once. An epoch that the end came before is decided by
    the resume: mostly it is trained again, but the end may also have come between the
    checkpoint and the word of it.
    """
    decided: list[Event] = []
    waiting: list[Event] = []
    end = start
    for event in read_events(run.journal_path, start=start):
        end = event.end
        if event.kind == FINISHED:
            decided += [*(held for held in waiting if held.kind != EPOCH), event]
            waiting = [held for held in waiting if held.kind == EPOCH]
        elif event.kind in (CHECKPOINT, RESUMED):
            decided += [*waiting, event]
            waiting = []
        elif waiting or event.kind == EPOCH:
            waiting.append(event)
        else:
            decided.append(event)
    return News(events=effective_events(decided), end=waiting[0].start if waiting else end)
