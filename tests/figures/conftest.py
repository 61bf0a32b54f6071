"""Small inputs of every figure. The drawn values can be computed by hand."""

import numpy as np
import pytest

from pipeline.core.traits import TRAITS
from pipeline.figures.base.style import SCREEN
from pipeline.figures.gallery import (
    attention_figures,
    comparison_figures,
    several_run_figures,
    training_figures,
)
from pipeline.records.attention import AttentionMeasurements, DeletionCurves, step_kind
from pipeline.records.evaluation import EvaluationReport
from pipeline.records.metrics_history import LearningRateLogs, MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content

METRICS = ("accuracy", "mae", "mse", "r2", "pcc", "ccc")
RECORDS = {
    "num_resamples": EvaluationReport,
    "epoch_times": TimeLogs,
    "learning_rate": LearningRateLogs,
    "epoch": MetricsHistory,
}
"""Key that only one file contains -> record of this file."""


def records_of(inputs):
    """Replace the contents of files by typed records."""
    records = dict(inputs)
    for name, content in inputs.items():
        keys = [key for key in RECORDS if isinstance(content, dict) and key in content]
        if keys and name != "comparison":
            records[name] = check_content(RECORDS[keys[0]], content)
    return records


def metric_columns(num_epochs, offset):
    columns = {}
    for metric in METRICS:
        sign = -1 if metric in {"mae", "mse"} else 1
        for number, trait in enumerate(("", *TRAITS)):
            first = 0.5 + offset + 0.01 * number
            values = [first + sign * 0.02 * epoch for epoch in range(num_epochs)]
            columns[f"{metric}_{trait}" if trait else metric] = values
    return columns


def make_history(num_epochs=4, *, validation=True, steps_per_epoch=5):
    """Return the content of `metrics_history.json`."""
    num_steps = num_epochs * steps_per_epoch
    losses = [0.3 - 0.01 * epoch for epoch in range(num_epochs)]
    return {
        "epoch": {
            "loss": losses,
            "val_loss": [loss + 0.05 for loss in losses] if validation else [None] * num_epochs,
            "metrics": metric_columns(num_epochs, 0.0),
            "val_metrics": metric_columns(num_epochs, 0.1) if validation else {},
            "learning_rate": [0.001] * num_epochs,
            "epoch_numbers": list(range(1, num_epochs + 1)),
        },
        "batch": {
            "loss": [0.3 - 0.001 * step for step in range(num_steps)],
            "metrics": {"accuracy": [0.8] * num_steps, "mae": [0.2] * num_steps},
            "learning_rate": [0.001] * num_steps,
            "batch_numbers": list(range(1, num_steps + 1)),
        },
    }


def make_time_logs(num_epochs=4, *, steps_per_epoch=5):
    """Return the content of `time_logs.json`, with 2 s of start-up."""
    num_steps = num_epochs * steps_per_epoch
    times = [steps_per_epoch * 0.11 + 2.0 * (epoch == 0) for epoch in range(num_epochs)]
    return {
        "epoch_times": times,
        "validation_times": [0.25] * num_epochs,
        "epoch_numbers": list(range(1, num_epochs + 1)),
        "batch_times": [0.1] * num_steps,
        "batch_wait_times": [2.0, *[0.01] * (num_steps - 1)][:num_steps],
        "batch_numbers": list(range(1, num_steps + 1)),
    }


def make_evaluation(value=0.5, **changes):
    """Return the content of `evaluation.json`, with the same value for every metric."""

    def intervals(value):
        row = {"value": value, "low": value - 0.1, "high": value + 0.1}
        return {metric: {name: dict(row) for name in ("mean", *TRAITS)} for metric in METRICS}

    baselines = {"training_mean": intervals(0.2), "ridge": intervals(0.3)}
    content = {"split": "test", "num_clips": 1200, "num_groups": 200, "num_resamples": 1000}
    content |= {"confidence": 0.95, "metrics": intervals(value)}
    return content | {"baselines": baselines, "baseline_differences": baselines} | changes


def make_comparison(**intervals):
    """Return the content of a comparison. Each metric has one (value, low, high)."""
    differences = {}
    for metric in METRICS:
        value, low, high = intervals.get(metric, (0.0, -0.01, 0.01))
        row = {"value": value, "low": low, "high": high}
        differences[metric] = dict.fromkeys(("mean", *TRAITS), row)
    content = {"names": ["first", "second"], "labels": ["A", "B"], "split": "test"}
    content |= {"num_clips": 1200, "num_groups": 200}
    return content | {"confidence": 0.95, "differences": differences}


@pytest.fixture
def history():
    return make_history()


@pytest.fixture
def time_logs():
    return make_time_logs()


@pytest.fixture
def lr_logs():
    return {
        "epoch": [1, 2, 3, 4],
        "learning_rate": [0.01, 0.01, 0.001, 0.001],
        "is_reduction": [False, False, True, False],
    }


@pytest.fixture
def attention():
    """Measurements of three clips, two heads, four frames and three windows."""
    maps = {"block_1/static_to_dynamic": (4, 3), "traits": (5, 7)}
    numbers = np.random.default_rng(0)
    samples = {name: numbers.dirichlet(np.ones(t), (3, 2, q)) for name, (q, t) in maps.items()}
    static, dynamic = np.split(samples["traits"].mean(axis=1), [4], axis=-1)
    by_stream = {"static": static, "dynamic": dynamic}
    mean_by_stream = {name: values.mean(axis=0) for name, values in by_stream.items()}
    uniform = {"static": np.full(4, 1 / 7), "dynamic": np.full(3, 1 / 7)}
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
        key_kinds={name: step_kind(name) for name in ("static", "dynamic")},
        num_keys={"static": 4, "dynamic": 3},
        mean_maps={name: values.mean(axis=0) for name, values in samples.items()},
        entropy={name: np.array([[0.0, 0.2], [0.5, 0.4], [1.0, 0.6]]) for name in maps},
        agreement={name: np.array([[1.0, 0.4], [0.4, 1.0]]) for name in maps},
        trait_attention=mean_by_stream,
        trait_rollout=mean_by_stream,
        trait_share={name: values.sum(axis=1) for name, values in mean_by_stream.items()},
        trait_attention_even=uniform,
        trait_rollout_even=uniform,
        sample_ids=("first", "second", "third"),
        sample_maps=samples,
        sample_trait_attention=by_stream,
        sample_trait_rollout=by_stream,
        deletions={"static": curves},
    )


@pytest.fixture
def inputs(history, time_logs, lr_logs, attention):
    """Every input of every figure. Files are represented by their content."""
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
        "trait_names": TRAITS,
        "num_train_clips": 1100,
        "attention": attention,
        "attention_history": [{"epoch": epoch, "entropy": entropy} for epoch in (1, 2)],
        "comparison": make_comparison(),
        "comparisons": [
            make_comparison(),
            make_comparison(r2=(0.02, 0.01, 0.03))
            | {"labels": ["A", "C"], "names": ["first", "x"]},
        ],
        "history_a": history,
        "history_b": history,
        "evaluation_a": make_evaluation(0.4),
        "evaluation_b": make_evaluation(-0.5),
    }


@pytest.fixture(scope="session")
def specs():
    """Every figure by name."""
    return training_figures() | attention_figures() | comparison_figures() | several_run_figures()


@pytest.fixture
def build(specs, inputs):
    """Return a function that computes the data of a figure from changed inputs."""
    return lambda name, **changes: specs[name].build_data(records_of(inputs | changes))


@pytest.fixture
def draw(specs, build):
    """Return a function that draws a figure from changed inputs."""
    return lambda name, style=SCREEN, **changes: specs[name].draw(build(name, **changes), style)


@pytest.fixture
def describe(specs, build):
    """Return a function that returns the alt text of a figure from changed inputs."""
    return lambda name, **changes: specs[name].alt_text(build(name, **changes))


def texts_of(figure):
    """Return all texts in a figure."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel()]
        found += [axes.get_title(loc=place) for place in ("left", "center", "right")]
        found += [text.get_text() for text in axes.texts]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return [text for text in found if text]


def boxes_of(figure, style):
    """Return the boxes of titles, labels and legends in pixels."""
    with style.applied():
        figure.canvas.draw()
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes.title]
    shown = [text for text in texts if text.get_text() and text.get_visible()]
    return [text.get_window_extent() for text in shown]
