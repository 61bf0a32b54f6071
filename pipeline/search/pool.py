"""What the coordinator asks of workers, wherever they run."""

from dataclasses import dataclass
from typing import Protocol

from pipeline.search.worker import Ticket, TrialEnd


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerNews:
    """A worker has answered, or is gone."""

    ticket: Ticket | None
    """What it was working on."""
    end: TrialEnd | None
    """Its answer; None where it died."""
    worker: str
    """Its name, as in the trials that it ran; empty where it died before it had one."""


class WorkerPool(Protocol):
    """Workers that take tickets."""

    @property
    def num_idle(self) -> int:
        """Tickets that can be submitted now."""

    @property
    def num_busy(self) -> int:
        """Tickets that are being worked on."""

    def submit(self, ticket: Ticket) -> None:
        """Give a ticket to an idle worker."""

    def wait(self, timeout_seconds: float) -> list[WorkerNews]:
        """Return what has happened, as soon as something has."""

    def owns(self, worker: str) -> bool:
        """Whether a worker of this name lives here now."""

    def interrupt(self) -> None:
        """End all trials, and the workers, now."""

    def close(self) -> None:
        """End the workers, which are idle."""
