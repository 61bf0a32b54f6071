"""Logs of a run, small enough to compute by hand what figures make of them."""

import pytest

from pipeline.core.traits import TRAITS

METRICS = ("accuracy", "mae", "mse", "r2", "pcc", "ccc")


def _metrics(num_epochs, offset):
    """Every metric of every trait; errors fall, agreement rises, each trait has its own level."""
    columns = {}
    for metric in METRICS:
        sign = -1 if metric in {"mae", "mse"} else 1
        for number, trait in enumerate(("", *TRAITS)):
            name = f"{metric}_{trait}" if trait else metric
            columns[name] = [
                0.5 + offset + 0.01 * number + sign * 0.02 * epoch for epoch in range(num_epochs)
            ]
    return columns


@pytest.fixture
def make_history():
    """Return a function that makes the content of `metrics_history.json`."""

    def make(num_epochs=4, *, validation=True, steps_per_epoch=5):
        num_steps = num_epochs * steps_per_epoch
        losses = [0.3 - 0.01 * epoch for epoch in range(num_epochs)]
        return {
            "epoch": {
                "loss": losses,
                "val_loss": [loss + 0.05 for loss in losses] if validation else [None] * num_epochs,
                "metrics": _metrics(num_epochs, 0.0),
                "val_metrics": _metrics(num_epochs, 0.1) if validation else {},
                "learning_rate": [0.001] * num_epochs,
                "epoch_numbers": list(range(1, num_epochs + 1)),
            },
            "batch": {
                "loss": [0.3 - 0.001 * step for step in range(num_steps)],
                "metrics": {
                    "accuracy": [0.8] * num_steps,
                    "mae": [0.2] * num_steps,
                    "mse": [0.1] * num_steps,
                },
                "learning_rate": [0.001] * num_steps,
                "batch_numbers": list(range(1, num_steps + 1)),
            },
        }

    return make


@pytest.fixture
def make_time_logs():
    """Return a function that makes the content of `time_logs.json`: 2 s of start-up, then even."""

    def make(num_epochs=4, *, steps_per_epoch=5):
        num_steps = num_epochs * steps_per_epoch
        waits = [0.01] * num_steps
        waits[:1] = [2.0] * min(num_steps, 1)
        return {
            "epoch_times": [
                steps_per_epoch * 0.11 + 2.0 * (epoch == 0) for epoch in range(num_epochs)
            ],
            "validation_times": [0.25] * num_epochs,
            "epoch_numbers": list(range(1, num_epochs + 1)),
            "batch_times": [0.1] * num_steps,
            "batch_wait_times": waits,
            "batch_numbers": list(range(1, num_steps + 1)),
        }

    return make


@pytest.fixture
def history(make_history):
    return make_history()


@pytest.fixture
def time_logs(make_time_logs):
    return make_time_logs()


@pytest.fixture
def lr_logs():
    return {
        "epoch": [1, 2, 3, 4],
        "learning_rate": [0.01, 0.01, 0.001, 0.001],
        "is_reduction": [False, False, True, False],
    }


@pytest.fixture
def texts_of():
    """Return a function that lists all texts that a figure shows."""

    def texts(figure):
        found = [text.get_text() for text in figure.texts]
        for axes in figure.axes:
            found += [axes.get_xlabel(), axes.get_ylabel()]
            found += [axes.get_title(loc=side) for side in ("left", "center", "right")]
            found += [text.get_text() for text in axes.texts]
        for legend in figure.legends:
            found += [text.get_text() for text in legend.get_texts()]
        return [text for text in found if text]

    return texts
