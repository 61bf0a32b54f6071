"""Workers as Ray actors: on a cluster that is there, or on one that is started here."""

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.core.errors import SearchError
from pipeline.core.interrupts import kept_handlers
from pipeline.search.placement import Share, choose_share
from pipeline.search.pool import WorkerNews
from pipeline.search.processes import TRIALS_PER_WORKER
from pipeline.search.worker import Ticket, Worker, worker_name

_logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0


class _Actor:
    """A worker in a process that Ray has placed."""

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._worker = start()

    def name(self) -> str:
        """Return its name, as in the trials that it runs."""
        return worker_name()

    def run(self, ticket: Ticket) -> Any:
        """Run one trial."""
        return self._worker.run(ticket)


_RemoteActor = ray.remote(max_restarts=0)(_Actor)


class _Hired:
    """An actor, and what it was given."""

    def __init__(self, start: Callable[[], Worker], share: Share) -> None:
        placed = _RemoteActor.options(num_cpus=share.num_cores, num_gpus=share.gpu)
        self.actor = placed.remote(start)
        self.name_reply = self.actor.name.remote()
        self.name = ""
        self.ticket: Ticket | None = None
        self.reply: Any = None
        self.num_trials = 0


class RayPool:
    """Runs trials as Ray actors.

    The cluster that the environment names (`RAY_ADDRESS`) is joined; otherwise one is started
    on this machine. Every node has to see the storage, the features and the study's directory
    under the same names. Where all workers find a place beside a GPU, each has a part of one.

    Args:
        start: Makes the worker, in the process of its actor.
        num_workers: Actors at a time.
        num_threads: Cores that each of them is given.

    Raises:
        SearchError: If the cluster cannot be joined, or has no room for a worker.
    """

    def __init__(
        self, start: Callable[[], Worker], *, num_workers: int, num_threads: int = 1
    ) -> None:
        self._start = start
        self._hired: list[_Hired] = []
        self._names: set[str] = set()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {} if address else {"num_cpus": num_workers * num_threads}
        _refuse_silent(address)
        try:
            with kept_handlers():
                ray.init(
                    address=address or "local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    **options,
                )
        except (RayError, ConnectionError, ValueError, RuntimeError) as error:
            raise _refusal(address, str(error).strip().splitlines()[0]) from error
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        self._share = choose_share(nodes, num_workers=num_workers, num_cores=num_threads)
        self._num_workers = min(num_workers, _places(nodes, self._share))
        if self._num_workers < num_workers:
            _logger.warning(
                "The Ray cluster has room for %d of the %d workers at a time.",
                self._num_workers,
                num_workers,
            )

    @property
    def num_idle(self) -> int:
        """Tickets that can be submitted now; an actor is started when it is needed."""
        return self._num_workers - self.num_busy

    @property
    def num_busy(self) -> int:
        """Tickets that are being worked on."""
        return sum(hired.ticket is not None for hired in self._hired)

    def submit(self, ticket: Ticket) -> None:
        """Give a ticket to an idle actor."""
        idle = next((hired for hired in self._hired if hired.ticket is None), None)
        if idle is None:
            idle = _Hired(self._start, self._share)
            self._hired.append(idle)
        idle.ticket = ticket
        idle.num_trials += 1
        idle.reply = idle.actor.run.remote(ticket)

    def wait(self, timeout_seconds: float) -> list[WorkerNews]:
        """Return what has happened, as soon as something has."""
        by_reply = {hired.reply: hired for hired in self._hired if hired.reply is not None}
        if not by_reply:
            return []
        ready, _ = ray.wait(list(by_reply), timeout=timeout_seconds)
        self._learn_names()
        return [self._read(by_reply[reply]) for reply in ready]

    def owns(self, worker: str) -> bool:
        """Whether a worker of this name was hired here."""
        self._learn_names()
        return worker in self._names

    def interrupt(self) -> None:
        """End all trials now; then end the actors."""
        self._learn_names()
        for hired in self._hired:
            ray.kill(hired.actor)
        self._hired.clear()
        ray.shutdown()

    def close(self) -> None:
        """End the actors, which are idle."""
        self.interrupt()

    def _learn_names(self) -> None:
        for hired in self._hired:
            if not hired.name and ray.wait([hired.name_reply], timeout=0)[0]:
                try:
                    hired.name = ray.get(hired.name_reply)
                except RayError:
                    continue  # it has died, which `wait` tells
                self._names.add(hired.name)

    def _read(self, hired: _Hired) -> WorkerNews:
        ticket = hired.ticket
        try:
            end = ray.get(hired.reply)
        except RayError:
            self._hired.remove(hired)
            return WorkerNews(ticket=ticket, end=None, worker=hired.name)
        hired.ticket = hired.reply = None
        if hired.num_trials >= TRIALS_PER_WORKER:
            self._hired.remove(hired)
            ray.kill(hired.actor)
        return WorkerNews(ticket=ticket, end=end, worker=hired.name)


def _places(nodes: Sequence[Mapping[str, float]], share: Share) -> int:
    """Return how many actors fit on the nodes at a time: what does not fit would wait for ever.

    Raises:
        SearchError: If not even one does.
    """
    places = share.places(nodes)
    if places == 0:
        ray.shutdown()
        cores = ", ".join(f"{node.get('CPU', 0):g}" for node in nodes) or "none"
        raise SearchError(
            f"no node of the Ray cluster has the {share.num_cores} cores that a worker is given "
            f"here (cores of its nodes: {cores}). Give more --num_workers, which makes each of "
            "them smaller."
        )
    return places


def _refuse_silent(address: str | None) -> None:
    """Refuse an address at which nothing answers, for which Ray itself takes two minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto` and the like: Ray knows where to look
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise _refusal(address, str(error)) from None


def _refusal(address: str | None, reason: str) -> SearchError:
    return SearchError(
        f"the Ray cluster {address or 'of this machine'} cannot be used ({reason}). Check "
        "RAY_ADDRESS and, on every node, RAY_AUTH_TOKEN."
    )
