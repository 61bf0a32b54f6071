"""A run whose loss is no longer a number stops, and says where that began."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core.errors import TrainingError
from pipeline.core.run_log import EPOCH, read_events
from pipeline.training.checkpoint import read_last_state
from pipeline.training.non_finite_loss import NonFiniteLossGuard

EXPLODING = {"schedule": "constant", "learning_rate": 1e25, "gradient_clip_norm": 0.0}


@pytest.fixture
def guard():
    guard = NonFiniteLossGuard()
    losses = np.array([0.5, np.nan, np.nan])
    guard.set_model(SimpleNamespace(read_trace=lambda: SimpleNamespace(loss=losses)))
    guard.on_epoch_begin(6)
    return guard


def test_the_epoch_and_the_first_such_step_are_named(guard):
    with pytest.raises(TrainingError, match=r"^The loss became nan in epoch 7, step 2\. Lower"):
        guard.on_train_batch_end(2, {"loss": np.nan})


@pytest.mark.parametrize("loss", [0.0, 0.5, 1e30])
def test_a_number_is_let_through(guard, loss):
    guard.on_train_batch_end(2, {"loss": loss})
    guard.on_epoch_end(6, {"loss": loss, "val_loss": loss})


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_validation_loss_is_guarded_too(guard, loss):
    with pytest.raises(TrainingError, match=rf"^The validation loss became {loss} in epoch 7, "):
        guard.on_epoch_end(6, {"loss": 0.5, "val_loss": loss})


def test_an_epoch_without_validation_is_let_through(guard):
    guard.on_epoch_end(6, {"loss": 0.5})


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_an_exploding_run_stops_at_its_step(laboratory, tmp_path, steps_per_execution):
    network = laboratory.network(activation="linear")
    with pytest.raises(TrainingError, match=r"The loss became inf in epoch 1, step 2\."):
        laboratory.fit(
            tmp_path, network=network, steps_per_execution=steps_per_execution, **EXPLODING
        )
    assert read_last_state(tmp_path / "checkpoints") is None


def test_weights_that_explode_in_the_last_step_are_not_kept(laboratory, tmp_path):
    # The one step of the epoch has a loss that is a number; what it made of the weights is none.
    network = laboratory.network(activation="linear")
    with pytest.raises(TrainingError, match=r"The validation loss became inf in epoch 1"):
        laboratory.fit(tmp_path, network=network, batch_size=44, num_epochs=1, **EXPLODING)
    assert read_last_state(tmp_path / "checkpoints") is None
    assert not [event for event in read_events(tmp_path / "events.jsonl") if event.kind == EPOCH]
