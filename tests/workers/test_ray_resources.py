"""Each worker gets a part of a GPU if all workers fit on the cluster that way."""

import pytest

from pipeline.workers.ray_resources import Share, choose_share


def nodes_of(*resources):
    return [{"CPU": float(cores), "GPU": float(gpus)} for cores, gpus in resources]


@pytest.mark.parametrize(
    ("num_workers", "resources", "workers_per_gpu", "num_places"),
    [
        (2, [(16, 0), (16, 0)], 0, 16),
        (4, [(16, 1), (16, 0)], 4, 4),
        (4, [(16, 2), (16, 1)], 2, 6),
        (3, [(16, 4)], 1, 4),
        (6, [(16, 1)], 6, 6),
        (20, [(16, 1)], 20, 8),  # the cores are the limit
        (20, [(4, 1), (32, 0)], 0, 18),  # too few cores beside the GPU
        (4, [(0, 1), (32, 0)], 0, 16),
        (4, [(0, 1)], 0, 0),
        (4, [], 0, 0),
    ],
)
def test_gpus_are_shared_if_all_workers_fit(num_workers, resources, workers_per_gpu, num_places):
    nodes = nodes_of(*resources)
    share = choose_share(nodes, num_workers=num_workers, num_cores=2)
    assert share.workers_per_gpu == workers_per_gpu
    assert share.num_places(nodes) == num_places


@pytest.mark.parametrize("number", range(1, 100))
def test_the_parts_of_all_workers_fit_on_one_gpu(number):
    parts = 10_000 * Share(num_cores=1, workers_per_gpu=number).gpu  # as Ray counts them
    assert parts == pytest.approx(round(parts), abs=1e-6)
    assert round(parts) * number <= 10_000
    assert round(parts) >= 1


def test_without_gpus_the_part_is_zero():
    assert Share(num_cores=1).gpu == 0
