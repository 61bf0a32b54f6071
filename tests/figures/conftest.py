"""Inputs of every figure, small enough to compute the drawn values by hand."""

import numpy as np
import pytest

from pipeline.core.traits import TRAITS
from pipeline.figures.base.style import SCREEN
from pipeline.figures.comparison.differences import comparison_figures
from pipeline.figures.gallery import attention_figures, training_figures
from pipeline.records.attention import FRAMES, WINDOWS, AttentionMeasurements, DeletionCurves
from tests.figures.contents import records_of

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


def _intervals(value, names):
    row = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {metric: {name: dict(row) for name in names} for metric in METRICS}


@pytest.fixture
def make_evaluation():
    """Return a function that makes the content of `evaluation.json`, one value per metric."""

    def make(value=0.5, **changes):
        rows = ("mean", *TRAITS)
        baselines = {"training_mean": _intervals(0.2, rows), "ridge": _intervals(0.3, rows)}
        content = {"split": "test", "num_clips": 1200, "num_groups": 200, "num_resamples": 1000}
        content |= {"confidence": 0.95, "metrics": _intervals(value, rows)}
        return content | {"baselines": baselines, "baseline_differences": baselines} | changes

    return make


@pytest.fixture
def make_comparison():
    """Return a function that makes a comparison, with one (value, low, high) per metric."""

    def make(**intervals):
        ends = {metric: intervals.get(metric, (0.0, -0.01, 0.01)) for metric in METRICS}
        differences = {
            metric: {
                row: dict(zip(("value", "low", "high"), ends[metric], strict=True))
                for row in ("mean", *TRAITS)
            }
            for metric in METRICS
        }
        content = {"names": ["first", "second"], "num_clips": 1200, "num_groups": 200}
        return content | {"confidence": 0.95, "differences": differences}

    return make


@pytest.fixture
def attention():
    """Measurements of three clips, two heads, four frames and three windows."""
    maps = {"block_1/static_to_dynamic": (4, 3), "traits": (5, 7)}
    numbers = np.random.default_rng(0)
    samples = {name: numbers.dirichlet(np.ones(t), (3, 2, q)) for name, (q, t) in maps.items()}
    static, dynamic = np.split(samples["traits"].mean(axis=1), [4], axis=-1)
    by_stream = {"static": static, "dynamic": dynamic}
    mean_by_stream = {name: values.mean(axis=0) for name, values in by_stream.items()}
    movement = {
        "traits/top": np.array([[0.0, 0.2, 0.2]]),
        "traits/bottom": np.array([[0.0, 0.0, 0.2]]),
        "random": np.array([[0.0, 0.05, 0.2], [0.0, 0.15, 0.2]]),
    }
    curves = DeletionCurves(
        hidden_by="mask",
        num_clips=3,
        hidden_share=np.array([0.0, 0.5, 1.0]),
        movement=movement,
        error={name: values + 0.1 for name, values in movement.items()},
    )
    return AttentionMeasurements(
        clip_ids=("first", "second", "third"),
        key_kinds={"static": FRAMES, "dynamic": WINDOWS},
        num_keys={"static": 4, "dynamic": 3},
        mean_maps={name: values.mean(axis=0) for name, values in samples.items()},
        entropy={name: np.array([[0.0, 0.2], [0.5, 0.4], [1.0, 0.6]]) for name in maps},
        agreement={name: np.array([[1.0, 0.4], [0.4, 1.0]]) for name in maps},
        trait_attention=mean_by_stream,
        trait_rollout=mean_by_stream,
        sample_ids=("first", "second", "third"),
        sample_maps=samples,
        sample_trait_attention=by_stream,
        sample_trait_rollout=by_stream,
        deletions={"static": curves},
    )


@pytest.fixture
def inputs(history, time_logs, lr_logs, attention, make_evaluation, make_comparison):
    """Every input of every figure."""
    y_true = np.random.default_rng(0).random((30, 5))
    entropy = {name: [0.9, 0.5] for name in attention.entropy}
    return {
        "history": history,
        "time_logs": time_logs,
        "lr_logs": lr_logs,
        "evaluation": make_evaluation(),
        "y_true": y_true,
        "y_pred": 0.5 + 0.5 * (y_true - 0.5),
        "split": "validation",
        "num_train_clips": 1100,
        "attention": attention,
        "attention_history": [{"epoch": epoch, "entropy": entropy} for epoch in (1, 2)],
        "comparison": make_comparison(),
        "history_a": history,
        "history_b": history,
        "evaluation_a": make_evaluation(0.4),
        "evaluation_b": make_evaluation(-0.5),
    }


@pytest.fixture(scope="session")
def specs():
    """Every figure by name."""
    return training_figures() | attention_figures() | comparison_figures()


@pytest.fixture
def build(specs, inputs):
    """Return a function that builds the data of a figure, with some inputs changed."""
    return lambda name, **changes: specs[name].build_data(records_of(inputs | changes))


@pytest.fixture
def draw(specs, build):
    """Return a function that draws a figure, with some inputs changed."""
    return lambda name, style=SCREEN, **changes: specs[name].draw(build(name, **changes), style)


@pytest.fixture
def describe(specs, build):
    """Return a function that writes the alt text of a figure, with some inputs changed."""
    return lambda name, **changes: specs[name].alt_text(build(name, **changes))


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
