"""Time of the command `predict`, beside a script that only calls `model.predict`.

`predict` also checks the features, computes intervals and writes a table with clip ids.
"""

import functools
from pathlib import Path

from benchmarks.bench import EXPERIMENT, Bench
from benchmarks.data import PAIR, SEQUENCES, write_set
from benchmarks.machine import REPOSITORY
from benchmarks.processes import run_command
from benchmarks.rows import Result, find_row
from benchmarks.timing import interleave

_SHAPES = {"vectors": PAIR, "sequences": SEQUENCES}
_NUM_TRAINING_CLIPS = 400
_TRAINING = ("--training.num_epochs", 1, "--evaluation.figures", "false")
_RIVAL = REPOSITORY / "benchmarks" / "rivals" / "keras_predict.py"


def measure(bench: Bench) -> list[Result]:
    """Train a model per kind of stream, and measure both programs."""
    return [_measure(bench, kind) for kind in bench.sizes.num_predicted]


def _measure(bench: Bench, kind: str) -> Result:
    directory = bench.directory / f"predict-{kind}"
    shapes = _SHAPES[kind]
    training = write_set(directory / "training", shapes, num_clips=_NUM_TRAINING_CLIPS, seed=1)
    features_dir = write_set(
        directory / "features", shapes, num_clips=bench.sizes.num_predicted[kind]
    )
    _, run_dir = bench.train(training, "--config", EXPERIMENT, *_TRAINING)
    output = directory / "predictions.csv"
    ours = ("-m", "pipeline", "predict", "--run_dir", run_dir, "--features_dir", features_dir)
    rival = (_RIVAL, run_dir / "model.keras", features_dir, directory / "predictions.npy")
    rounds = interleave(
        {
            "rival": functools.partial(_seconds, rival, bench.work_dir),
            "ours": functools.partial(_seconds, (*ours, "--output", output), bench.work_dir),
        },
        max_repeats=bench.sizes.max_repeats,
        budget_seconds=bench.sizes.budget_seconds["prediction"] / len(bench.sizes.num_predicted),
    )
    return Result(
        row=find_row(f"predict/{kind}"),
        ours=[each["ours"] for each in rounds],
        rival=[each["rival"] for each in rounds],
    )


def _seconds(arguments: tuple[object, ...], work_dir: Path) -> float:
    return run_command(arguments, work_dir=work_dir).seconds
