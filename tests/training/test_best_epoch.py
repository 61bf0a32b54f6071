import keras
import numpy as np
import pytest

from pipeline.core.run_log import CHECKPOINT, read_events
from pipeline.training.best_epoch import BestWeights


@pytest.fixture
def network():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.layers[0].kernel.assign([[0.0]])
    return network


def train(network, run_log, values, *, maximize=False, on_commit=lambda: None):
    """End one epoch per value; the weight is the number of the epoch."""
    best = BestWeights(
        network=network,
        monitor="val_mae",
        maximize=maximize,
        run_log=run_log,
        on_commit=on_commit,
    )
    for epoch, value in enumerate(values):
        network.layers[0].kernel.assign([[epoch + 1.0]])
        best.on_epoch_end(epoch, {"val_mae": value})
    return best


@pytest.mark.parametrize(("maximize", "epoch"), [(False, 2), (True, 3)])
def test_the_weights_of_the_best_epoch_are_restored(network, run_log, maximize, epoch):
    best = train(network, run_log, [0.3, 0.1, 0.4, 0.2], maximize=maximize)
    best.restore(best.best_epoch)
    assert best.best_epoch == epoch
    np.testing.assert_array_equal(network.layers[0].kernel.numpy(), [[epoch]])


def test_the_first_of_two_equal_epochs_is_the_best(network, run_log):
    best = train(network, run_log, [0.1, 0.1])
    assert (best.best_epoch, best.best_value) == (1, 0.1)


def test_every_epoch_is_logged_before_the_caller_is_called(network, run_log):
    sizes = []
    train(network, run_log, [0.2, 0.1], on_commit=lambda: sizes.append(run_log.size))
    events = list(read_events(run_log.path))
    found = [(event.kind, event.content["epoch"]) for event in events]
    assert found == [(CHECKPOINT, 1), (CHECKPOINT, 2)]
    assert sizes == [event.end for event in events]
