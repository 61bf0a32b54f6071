import keras
import numpy as np
import pytest

from pipeline.core.run_log import CHECKPOINT, RunLog, read_events
from pipeline.training.best_weights import BestWeights


@pytest.fixture
def network():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.layers[0].kernel.assign([[0.0]])
    return network


@pytest.fixture
def run_log(tmp_path):
    return RunLog(tmp_path / "events.jsonl")


def train(network, kept, values):
    """End an epoch with each of the values; its weight is its number."""
    for epoch, value in enumerate(values):
        network.layers[0].kernel.assign([[epoch + 1.0]])
        kept.on_epoch_end(epoch, {"val_mae": value})


@pytest.mark.parametrize(("maximize", "best"), [(False, 2), (True, 3)])
def test_the_network_gets_the_weights_of_its_best_epoch(network, run_log, maximize, best):
    kept = BestWeights(network=network, monitor="val_mae", maximize=maximize, run_log=run_log)
    train(network, kept, [0.3, 0.1, 0.4, 0.2])
    kept.restore(kept.best_epoch)
    assert kept.best_epoch == best
    np.testing.assert_array_equal(network.layers[0].kernel.numpy(), [[best]])


def test_the_first_of_two_equal_epochs_is_the_best(network, run_log):
    kept = BestWeights(network=network, monitor="val_mae", maximize=False, run_log=run_log)
    train(network, kept, [0.1, 0.1])
    assert (kept.best_epoch, kept.best_value) == (1, 0.1)


def test_every_epoch_is_final_once_it_is_told(network, run_log):
    told = []
    kept = BestWeights(
        network=network,
        monitor="val_mae",
        maximize=False,
        run_log=run_log,
        on_commit=lambda: told.append(run_log.size),
    )
    train(network, kept, [0.2, 0.1])
    events = list(read_events(run_log.path))
    assert [(event.kind, event.content["epoch"]) for event in events] == [
        (CHECKPOINT, 1),
        (CHECKPOINT, 2),
    ]
    assert told == [event.end for event in events]
