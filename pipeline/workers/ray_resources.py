"""The share of a cluster's nodes that each worker asks for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PARTS_PER_GPU = 10_000
"""Ray counts parts of a GPU in steps of 1/10,000."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Resources of one worker."""

    num_cores: int
    """Cores of a node."""
    workers_per_gpu: int = 0
    """Number of workers that share a GPU; 0 if workers ask for no GPU."""

    @property
    def gpu(self) -> float:
        """Part of a GPU, in [0, 1], rounded down so that `workers_per_gpu` of them fit."""
        if not self.workers_per_gpu:
            return 0.0
        return _PARTS_PER_GPU // self.workers_per_gpu / _PARTS_PER_GPU

    def num_places(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many workers fit on nodes with these resources at a time."""
        return sum(map(self._num_places_on, nodes))

    def _num_places_on(self, node: Mapping[str, float]) -> int:
        by_cores = int(node.get("CPU", 0) // self.num_cores)
        if not self.workers_per_gpu:
            return by_cores
        return min(by_cores, int(node.get("GPU", 0)) * self.workers_per_gpu)


def choose_share(
    nodes: Sequence[Mapping[str, float]], *, num_workers: int, num_cores: int
) -> Share:
    """Return a share with a part of a GPU if all workers fit on the cluster with it.

    Otherwise no worker asks for a GPU, and each may run on any node. Workers that ask for none
    beside workers that do would crowd on the first GPU of a node or see none at all, depending
    on the version of Ray.

    Args:
        nodes: Resources of each node, by Ray's names: `CPU` and `GPU`.
        num_workers: Workers at a time.
        num_cores: Cores of each worker.
    """
    on_cores = Share(num_cores=num_cores)
    num_gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if not num_gpus:
        return on_cores
    on_gpus = Share(num_cores=num_cores, workers_per_gpu=math.ceil(num_workers / num_gpus))
    num_wanted = min(num_workers, on_cores.num_places(nodes))
    return on_gpus if 0 < num_wanted <= on_gpus.num_places(nodes) else on_cores
