"""Workers as Ray actors, on a cluster or on this machine."""

import logging
import os
import socket
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import WorkerError, install_command
from pipeline.core.interrupts import kept_handlers
from pipeline.workers.pool import Setup, TaskRunner, WorkerEvent, WorkerHandle, WorkerPool
from pipeline.workers.ray_resources import Share, choose_share

_logger = logging.getLogger(__name__)

_ANSWER_SECONDS: Final = 5.0
_ENVIRONMENT: Final = {
    "PYTHONPATH": f"{Path(__file__).resolve().parents[2]}{os.pathsep}${{PYTHONPATH}}"
}
"""Actors import this package, which need not be installed."""


class _ActorHandle(WorkerHandle):
    """An actor, and the reference to its next reply."""

    def __init__(self, ray: Any, actor: Any) -> None:
        super().__init__()
        self._ray = ray
        self._actor = actor
        self.reply = actor.set_up.remote()

    def send(self, task: Any) -> None:
        self.reply = self._actor.run.remote(task)

    def receive(self) -> WorkerEvent:
        reply, self.reply = self.reply, None
        try:
            event: WorkerEvent = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            # The first line says how an actor ended; the last one, why it could not be created.
            reason = lines[0 if self.is_ready else -1] if lines else type(error).__name__
            return WorkerEvent(kind="death", reason=reason)
        return event

    def kill(self) -> None:
        self._ray.kill(self._actor)


class RayPool(WorkerPool):
    """Workers as Ray actors.

    They run on the cluster that this process has joined, or on the one that `RAY_ADDRESS` names;
    otherwise a cluster is started on this machine. Files that tasks read and write must have the
    same paths on every node. Actors may use GPUs: each has a part of one if all find a place so.

    Args:
        setup: Loads what a worker needs, in the process of the worker.
        num_workers: Actors at a time.
        num_cores: Cores of each actor.
        uses_gpus: Whether to ask for parts of GPUs.
        **limits: Limits of `WorkerPool`.

    Raises:
        WorkerError: If Ray is missing, or the cluster cannot be joined or has no room for a worker.
    """

    _SETUP_NEEDS = (
        ": each Ray actor needs a free processor of the cluster; `ray status` shows who holds them"
    )

    def __init__(
        self,
        setup: Setup,
        *,
        num_workers: int,
        num_cores: int = 1,
        uses_gpus: bool = False,
        **limits: Any,
    ) -> None:
        self._ray = _import_ray()
        self._owns_cluster = not self._ray.is_initialized()
        if self._owns_cluster:
            _join_cluster(self._ray, num_cores=num_workers * num_cores)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        share = Share(num_cores=num_cores)
        if uses_gpus:
            share = choose_share(nodes, num_workers=num_workers, num_cores=num_cores)
        num_places = share.num_places(nodes)
        super().__init__(setup, num_workers=min(num_workers, num_places), **limits)
        if not num_places:
            self.close()
            cores = ", ".join(f"{node.get('CPU', 0):g}" for node in nodes) or "none"
            raise WorkerError(
                f"no node of the Ray cluster has the {num_cores} cores that a worker needs here "
                f"(cores of its nodes: {cores}). Give more --num_workers: each gets fewer cores."
            )
        if num_places < num_workers:
            _logger.warning(
                "The Ray cluster has room for %d of the %d workers at a time.",
                num_places,
                num_workers,
            )
        self._actor_class = self._ray.remote(
            num_cpus=share.num_cores,
            num_gpus=share.gpu,
            max_restarts=0,
            runtime_env={"env_vars": _ENVIRONMENT},
        )(TaskRunner)

    def _start(self) -> _ActorHandle:
        return _ActorHandle(self._ray, self._actor_class.remote(self._setup))

    def _receive(self, timeout_seconds: float) -> list[tuple[_ActorHandle, WorkerEvent]]:
        by_reply = {each.reply: each for each in self._workers if each.reply is not None}
        if not by_reply:
            return []
        ready, _ = self._ray.wait(list(by_reply), timeout=timeout_seconds)
        return [(by_reply[reply], by_reply[reply].receive()) for reply in ready]

    def close(self) -> None:
        """End all workers now, and the cluster if it was started or joined for them."""
        super().close()
        if self._owns_cluster:
            self._ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise WorkerError(
            f"--engine ray needs the extra `ray` ({error}): {install_command('ray')}"
        ) from error
    return ray


def _join_cluster(ray: Any, *, num_cores: int) -> None:
    """Join the cluster that `RAY_ADDRESS` names, or start one with `num_cores` cores."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    try:
        _check_answers(address)
        with kept_handlers():
            ray.init(
                address=address or "local",
                num_cpus=None if address else num_cores,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
    except (ray.exceptions.RayError, OSError, ValueError, RuntimeError) as error:
        raise WorkerError(
            f"the Ray cluster {address or 'of this machine'} cannot be used "
            f"({str(error).strip().splitlines()[0]}). Check RAY_ADDRESS and, on every node, "
            "RAY_AUTH_TOKEN."
        ) from error


def _check_answers(address: str | None) -> None:
    """Raise OSError if nothing answers at an address; Ray itself would try for two minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():  # Ray resolves `auto` and the like itself
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
