"""Worker pool of Ray actors, on a cluster or on this machine."""

import logging
import math
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import WorkerError, first_line
from pipeline.core.installation import install_command
from pipeline.core.interrupts import kept_handlers
from pipeline.workers.pool import Setup, TaskRunner, WorkerEvent, WorkerHandle, WorkerPool

_logger = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 5.0
_ENVIRONMENT: Final = {
    "PYTHONPATH": f"{Path(__file__).resolve().parents[2]}{os.pathsep}${{PYTHONPATH}}"
}
"""Environment variables with which actors can import this package without an installation."""
_PARTS_PER_GPU: Final = 10_000
"""Ray rounds fractions of a GPU to multiples of 1/10,000."""

Nodes = Sequence[Mapping[str, float]]
"""Numbers of cores and GPUs per node, with the keys `CPU` and `GPU`."""


def choose_workers_per_gpu(nodes: Nodes, *, num_workers: int, num_cores: int) -> int:
    """Return the number of workers per GPU, or 0 if all workers have to run without a GPU.

    Either all workers use a GPU or no worker does. Otherwise, in some Ray versions, all workers
    that requested no GPU would use the first GPU. `num_cores` is the number of cores per worker.
    """
    num_gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if not num_gpus:
        return 0
    workers_per_gpu = math.ceil(num_workers / num_gpus)
    num_wanted = min(num_workers, count_places(nodes, num_cores))
    num_places = count_places(nodes, num_cores, workers_per_gpu)
    return workers_per_gpu if 0 < num_wanted <= num_places else 0


def count_places(nodes: Nodes, num_cores: int, workers_per_gpu: int = 0) -> int:
    """Return how many workers fit on the nodes. With `workers_per_gpu=0`, they use no GPU."""
    num_places = 0
    for node in nodes:
        by_cores = int(node.get("CPU", 0) // num_cores)
        by_gpus = int(node.get("GPU", 0)) * workers_per_gpu
        num_places += min(by_cores, by_gpus) if workers_per_gpu else by_cores
    return num_places


def gpu_part(workers_per_gpu: int) -> float:
    """Return the GPU fraction per worker, in [0, 1]. It is rounded down so that all workers fit."""
    return _PARTS_PER_GPU // workers_per_gpu / _PARTS_PER_GPU if workers_per_gpu else 0.0


class _ActorHandle(WorkerHandle):
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
            # In the text of a Ray error, the cause of a worker's death is the first line, and the
            # cause of a failed set-up is the last line.
            reason = lines[0 if self.is_ready else -1] if lines else type(error).__name__
            return WorkerEvent(kind="death", reason=reason)
        return event

    def kill(self) -> None:
        self._ray.kill(self._actor)


class RayPool(WorkerPool):
    """Pool of Ray actors.

    If this process has not joined a cluster, the pool joins the cluster at `RAY_ADDRESS` or starts
    a cluster on this machine. Files that tasks use must have the same paths on every node.

    Args:
        setup: See `WorkerPool`.
        num_workers: Maximum number of actors.
        num_cores: Number of cores per actor.
        uses_gpus: True if actors may request a fraction of a GPU, see `choose_workers_per_gpu`.
        joins_local_cluster: Used only if `RAY_ADDRESS` is not set. If True, the pool joins the
            running cluster of this machine, or starts a cluster with all cores. If False, the pool
            starts a cluster with as many cores as the workers need.
        **limits: See `WorkerPool`.

    Raises:
        WorkerError: If Ray is missing, or the cluster cannot be joined or is too small.
    """

    _SETUP_NEEDS = "; each Ray actor needs a free core of the cluster, see `ray status`"

    def __init__(
        self,
        setup: Setup,
        *,
        num_workers: int,
        num_cores: int = 1,
        uses_gpus: bool = False,
        joins_local_cluster: bool = False,
        **limits: Any,
    ) -> None:
        self._ray = _import_ray()
        self._owns_cluster = not self._ray.is_initialized()
        if self._owns_cluster:
            new_cluster = {"address": "local", "num_cpus": num_workers * num_cores}
            _join_cluster(self._ray, {} if joins_local_cluster else new_cluster)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        workers_per_gpu = 0
        if uses_gpus:
            workers_per_gpu = choose_workers_per_gpu(
                nodes, num_workers=num_workers, num_cores=num_cores
            )
        num_places = count_places(nodes, num_cores, workers_per_gpu)
        super().__init__(setup, num_workers=min(num_workers, num_places), **limits)
        if not num_places:
            self.close()
            cores = ", ".join(f"{node.get('CPU', 0):g}" for node in nodes) or "none"
            raise WorkerError(
                f"each worker needs {num_cores} cores, but no node of the Ray cluster has so many "
                f"(cores per node: {cores}). Increase --num_workers to use fewer cores per worker."
            )
        if num_places < num_workers:
            _logger.warning(
                "The Ray cluster can run only %d of the %d workers at a time.",
                num_places,
                num_workers,
            )
        self._actor_class = self._ray.remote(
            num_cpus=num_cores,
            num_gpus=gpu_part(workers_per_gpu),
            max_restarts=0,
            runtime_env={"env_vars": _ENVIRONMENT},
        )(TaskRunner)

    def close(self) -> None:
        """Kill all workers. Leave the cluster if the pool has joined or started it."""
        super().close()
        if self._owns_cluster:
            self._ray.shutdown()

    def _start(self) -> _ActorHandle:
        return _ActorHandle(self._ray, self._actor_class.remote(self._setup))

    def _receive(self, timeout_seconds: float) -> list[tuple[_ActorHandle, WorkerEvent]]:
        by_reply = {each.reply: each for each in self._workers if each.reply is not None}
        if not by_reply:
            return []
        ready, _ = self._ray.wait(list(by_reply), timeout=timeout_seconds)
        return [(by_reply[reply], by_reply[reply].receive()) for reply in ready]


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise WorkerError(
            f"--engine ray needs the extra `ray` ({error}). Install it: {install_command('ray')}"
        ) from error
    return ray


def _join_cluster(ray: Any, local_options: Mapping[str, Any]) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    try:
        host, _, port = (address or "").removeprefix("ray://").rpartition(":")
        # Without this check, Ray tries for two minutes to connect to an address without a cluster.
        if host and port.isdecimal():
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        with kept_handlers():
            ray.init(
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                **({"address": address} if address else local_options),
            )
    except (ray.exceptions.RayError, OSError, ValueError, RuntimeError) as error:
        raise WorkerError(
            f"the Ray cluster {address or 'of this machine'} cannot be used "
            f"({first_line(error)}). Check RAY_ADDRESS and, on every node, RAY_AUTH_TOKEN."
        ) from error
