"""A run whose times are in order; tests of a rule put one thing out of order."""

import pytest


def _logs(num_epochs=10, num_steps=10):
    count = num_epochs * num_steps
    return {
        "epoch_times": [1.1] * num_epochs,
        "validation_times": [0.1] * num_epochs,
        "batch_times": [0.1] * count,
        "batch_wait_times": [0.01] * count,
        "batch_numbers": list(range(1, count + 1)),
    }


@pytest.fixture
def orderly_run():
    """Time logs, history and configuration of which no rule has anything to say."""
    scores = [0.5 - 0.01 * epoch for epoch in range(10)]
    epoch = {"val_loss": scores, "val_metrics": {"mae": scores, "ccc": scores}}
    history = {"epoch": {"epoch_numbers": list(range(1, 11)), **epoch}}
    config = {
        "data": {"validation_fraction": 0.2},
        "training": {
            "num_epochs": 10,
            "batch_size": 32,
            "cache": "memory",
            "steps_per_execution": 5,
            "early_stopping_patience": 0,
            "monitor": "mae",
            "tensorboard": False,
        },
    }
    return {"time_logs": _logs(), "history": history, "config": config}
