"""Which share of a cluster's nodes each worker asks for, so that all of them find a place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PER_GPU = 10_000
"""Parts of a GPU that Ray tells apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What each worker asks for."""

    num_cores: int
    """Cores of a node."""
    workers_per_gpu: int = 0
    """How many share a GPU; 0 where none is asked for."""

    @property
    def gpu(self) -> float:
        """Part of a GPU, in [0, 1]; rounded down, so that as many fit on one as shall."""
        if not self.workers_per_gpu:
            return 0.0
        return _PER_GPU // self.workers_per_gpu / _PER_GPU

    def places(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """Return how many workers fit on nodes of these resources at a time."""
        return sum(map(self._places_on, nodes))

    def _places_on(self, node: Mapping[str, float]) -> int:
        by_cores = int(node.get("CPU", 0) // self.num_cores)
        if not self.workers_per_gpu:
            return by_cores
        return min(by_cores, int(node.get("GPU", 0)) * self.workers_per_gpu)


def choose_share(
    nodes: Sequence[Mapping[str, float]], *, num_workers: int, num_cores: int
) -> Share:
    """Return the share with which each worker has a part of a GPU, if all find a place so.

    Otherwise none asks for one, and each may come to any node. Workers that ask for none would
    crowd on the first GPU of a node, or see none at all: that depends on the version of Ray.

    Args:
        nodes: Resources of each node, by Ray's names: `CPU` and `GPU`.
        num_workers: Workers at a time.
        num_cores: Cores that each of them is given.
    """
    on_cores = Share(num_cores=num_cores)
    num_gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if not num_gpus:
        return on_cores
    on_gpus = Share(num_cores=num_cores, workers_per_gpu=math.ceil(num_workers / num_gpus))
    wanted = min(num_workers, on_cores.places(nodes))
    return on_gpus if 0 < wanted <= on_gpus.places(nodes) else on_cores
