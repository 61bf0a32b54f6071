"""Records of an example run. Each test changes a part of the records."""

import io

import PIL.Image
import pytest

from pipeline.config.schema import DataConfig, ExperimentConfig, TrainingConfig, to_dict
from pipeline.core.traits import TRAITS
from pipeline.records.typed_json import check_content
from pipeline.report.images import Image, MissingImage
from pipeline.report.loading import FILES, RunRecords

EVALUATION = "evaluation.json"
ADVICE = "training_time_analysis/training_speedup_recommendations.json"


def make_scores(**values):
    """Return metric -> scores, equal for every trait. `values` are (value, low, high)."""
    plausible = {
        "accuracy": (0.91, 0.90, 0.92),
        "mae": (0.09, 0.08, 0.10),
        "mse": (0.012, 0.011, 0.013),
        "r2": (0.45, 0.40, 0.50),
        "pcc": (0.68, 0.65, 0.71),
        "ccc": (0.62, 0.58, 0.66),
    }
    return {
        metric: {
            name: dict(zip(("value", "low", "high"), ends, strict=True))
            for name in (*TRAITS, "mean")
        }
        for metric, ends in (plausible | values).items()
    }


def add_differences(evaluation):
    """Add the differences model minus baseline. Intervals that do not overlap exclude 0."""

    def difference(a, b):
        ends = {"low": a["low"] - b["high"], "high": a["high"] - b["low"]}
        return {"value": a["value"] - b["value"]} | ends

    evaluation["baseline_differences"] = {
        baseline: {
            metric: {name: difference(traits[name], scores[metric][name]) for name in traits}
            for metric, traits in evaluation["metrics"].items()
        }
        for baseline, scores in evaluation["baselines"].items()
    }


def make_contents():
    """Return file -> content for a run. The only caveat of the run is its single seed."""
    overlap = {"shared_groups": 0, "shared_clips": 0.0}
    return {
        "config.yaml": to_dict(
            ExperimentConfig(
                name="example",
                description="An example run.",
                data=DataConfig(features_dir="features"),
                training=TrainingConfig(num_epochs=20),
            )
        ),
        "summary.json": {
            "name": "example",
            "seed": 0,
            "num_epochs": 20,
            "best_epoch": 17,
            "monitor": "val_mae",
            "best_value": 0.0835,
            "trainable_weights": 87937,
            "total_weights": 87961,
            "num_clips": {"train": 4800, "validation": 600, "test": 600},
            "num_groups": {"train": 2000, "validation": 250, "test": 250},
            "group_overlap": {"train/validation": overlap, "train/test": overlap},
            "metrics": None,
        },
        "evaluation.json": {
            "split": "test",
            "num_clips": 600,
            "num_groups": 250,
            "metrics": make_scores(),
            "baselines": {
                "training_mean": make_scores(
                    r2=(-0.005, -0.01, 0.0), accuracy=(0.88, 0.875, 0.885)
                ),
                "same_group_mean": make_scores(r2=(0.34, 0.28, 0.40)),
                "ridge": make_scores(r2=(0.30, 0.25, 0.35), accuracy=(0.89, 0.885, 0.895)),
            },
            "by": {},
            "group_overlap": {"train/evaluated": overlap},
            "intervals": {
                "level": 0.9,
                "measured_on": "new groups",
                "num_clips": 600,
                "num_groups": 250,
                "coverage": {
                    name: {"value": 0.905, "low": 0.885, "high": 0.925}
                    for name in (*TRAITS, "mean")
                },
                "mean_width": dict.fromkeys((*TRAITS, "mean"), 0.353),
            },
            "confidence": 0.95,
            "num_resamples": 2000,
        },
        "environment.json": {
            "command": "__main__.py train --config experiments/example.yaml",
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "is_dirty": False},
            "python": "3.11.7",
            "packages": {"keras": "3.15.1"},
            "platform": "Linux",
            "num_cpus": 2,
        },
        "data.json": {
            "digest": "d1ce",
            "num_clips": 6000,
            "streams": {"static": [6000, 8, 32], "dynamic": [6000, 16]},
            "sources": ["features/static.npy", "features/clips.csv"],
            "encoder": "hog",
        },
        "batch_metrics/metrics_history.json": {"epoch": {"epoch_numbers": list(range(1, 21))}},
        "time_tracking/time_logs.json": {
            "epoch_times": [6.0, 1.0, 2.0],
            "validation_times": [0.5, 0.5, 0.5],
            "batch_times": [0.02, 0.03],
            "total_training_time": 63.0,
        },
        "lr_tracking/lr_logs.json": {"epoch": [1, 2], "learning_rate": [0.001, 0.001]},
        ADVICE: [
            {
                "issue": "Waiting for data",
                "details": "40 % of each step",
                "recommendation": "Set `training.cache` to memory.",
                "expected_gain": "20 s",
            }
        ],
    }


def make_png(width=8, height=6):
    file = io.BytesIO()
    PIL.Image.new("L", (width, height), 128).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def contents():
    """File -> content for the example run."""
    contents = make_contents()
    add_differences(contents[EVALUATION])
    return contents


@pytest.fixture
def records_with():
    """Return a function that builds the records of the example run with changed files.

    `records_with(summary={"best_epoch": 1})` changes one entry. `records_with(summary=None)`
    removes the file.
    """
    names = {"times": "time_tracking/time_logs.json", "advice": ADVICE, "data": "data.json"}
    names |= {target: file for file, (target, _) in FILES.items() if target not in names}

    def build(
        *, status=None, directory="a-run", differences=None, predictions=None, others=(), **changes
    ):
        contents = make_contents()
        for name, change in changes.items():
            if change is None:
                del contents[names[name]]
            elif isinstance(change, dict):
                contents[names[name]].update(change)
            else:
                contents[names[name]] = change
        if EVALUATION in contents:
            add_differences(contents[EVALUATION])
            contents[EVALUATION]["baseline_differences"] |= differences or {}
        values = {
            FILES[file][0]: check_content(FILES[file][1], content)
            for file, content in contents.items()
        }
        values["problems"] = tuple(f"{file}: missing" for file in FILES if file not in contents)
        values |= {"status": status, "directory": directory, "predictions": predictions}
        values["other_evaluations"] = tuple(others)
        return RunRecords(name="a-run", **values)

    return build


def make_image(**changes):
    """Return an image with changed entries."""
    entries = {
        "name": "train_val_loss",
        "folder": "training_visualizations",
        "title": "Loss",
        "caption": "Loss over the epochs.",
        "alt_text": "The loss falls from 0.2 to 0.1.",
        "media_type": "image/png",
        "data": make_png(),
    }
    return Image(**(entries | changes))


def make_missing_image(**changes):
    """Return a figure that could not be drawn, with changed entries."""
    entries = {
        "folder": "attention_visualizations",
        "title": "Entropy",
        "reason": "attention over one key is always 1.",
    }
    return MissingImage(**(entries | changes))
