import pytest

from pipeline.search.placement import Share, choose_share


def nodes_of(*resources):
    return [{"CPU": float(cores), "GPU": float(gpus)} for cores, gpus in resources]


@pytest.mark.parametrize(
    ("num_workers", "resources", "workers_per_gpu", "places"),
    [
        (2, [(16, 0), (16, 0)], 0, 16),
        (4, [(16, 1), (16, 0)], 4, 4),
        (4, [(16, 2), (16, 1)], 2, 6),
        (3, [(16, 4)], 1, 4),
        (6, [(16, 1)], 6, 6),
        (20, [(16, 1)], 20, 8),  # as many as there are cores for: the GPU keeps none away
        (20, [(4, 1), (32, 0)], 0, 18),  # the others would wait for a core beside the GPU
        (4, [(0, 1), (32, 0)], 0, 16),
        (4, [(0, 1)], 0, 0),
        (4, [], 0, 0),
    ],
)
def test_gpus_are_shared_where_all_workers_find_a_place_beside_one(
    num_workers, resources, workers_per_gpu, places
):
    nodes = nodes_of(*resources)
    share = choose_share(nodes, num_workers=num_workers, num_cores=2)
    assert share.workers_per_gpu == workers_per_gpu
    assert share.places(nodes) == places


@pytest.mark.parametrize("number", range(1, 100))
def test_as_many_parts_as_there_are_workers_make_no_more_than_a_gpu(number):
    parts = 10_000 * Share(num_cores=1, workers_per_gpu=number).gpu  # as Ray counts them
    assert parts == pytest.approx(round(parts), abs=1e-6)
    assert round(parts) * number <= 10_000
    assert round(parts) >= 1


def test_without_gpus_none_is_asked_for():
    assert Share(num_cores=1).gpu == 0
