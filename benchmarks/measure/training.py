"""Speed of training after the first epoch, beside two variants of Keras `fit`.

All three train the default model on the same clips, in batches of the same size and in the same
number of steps per call of the graph. Each has its own process. Its time is measured from the end
of the first epoch, which includes the tracing, to the end of the last epoch. It includes the
validation, all callbacks and the work in the background.
"""

import contextlib
import functools
import importlib.util
import itertools
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.data import SEQUENCES, VECTORS, write_set
from benchmarks.processes import Measurer, measurer
from benchmarks.rows import Result, find_row
from benchmarks.timing import interleave, spread

_SHAPES = {"sequences": SEQUENCES, "vectors": VECTORS}
_RIVALS = ("plain_fit", "tracked_fit")
_MODULES = {name: f"benchmarks.rivals.{name}" for name in _RIVALS} | {
    "ours": "benchmarks.measure.recorded_fit"
}


def measure(bench: Bench) -> list[Result]:
    """Measure the kinds of streams and the batch sizes of the benchmark."""
    sizes = bench.sizes
    results: dict[str, Result] = {}
    cases = list(itertools.product(sizes.training_clips, sizes.batch_sizes))
    with contextlib.ExitStack() as stack:
        directory = bench.directory / "training"
        measurers = {
            name: stack.enter_context(measurer(module, directory / name))
            for name, module in _MODULES.items()
        }
        for kind, batch_size in cases:
            features_dir = directory / f"features-{kind}"
            if not features_dir.exists():
                write_set(features_dir, _SHAPES[kind], num_clips=sizes.training_clips[kind])
            calls = {
                name: functools.partial(
                    *(_measure, each, directory / name, features_dir, batch_size),
                    sizes.num_epochs[kind],
                )
                for name, each in measurers.items()
            }
            rounds = interleave(
                calls,
                max_repeats=sizes.max_repeats,
                budget_seconds=sizes.budget_seconds["training"] / len(cases),
            )
            for rival in _RIVALS:
                key = f"{rival}/{kind}/{batch_size}"
                results[key] = _result(key, rounds, rival)
    return [results[key] for key in sorted(results, key=lambda key: key.split("/")[0])]


def _measure(
    process: Measurer, directory: Path, features_dir: Path, batch_size: int, num_epochs: int
) -> dict[str, float]:
    """Return the measurements of one training."""
    number = len(list(directory.glob("run-*")))
    return process.measure(
        features_dir=str(features_dir),
        batch_size=batch_size,
        num_epochs=num_epochs,
        work_dir=str(directory / f"run-{number}"),
    )


def _result(key: str, rounds: list[dict[str, dict[str, float]]], rival: str) -> Result:
    """Compare the speeds.

    Raises:
        RuntimeError: If the rival had another number of weights or of training steps.
    """
    for name in ("num_weights", "num_steps"):
        if any(each["ours"][name] != each[rival][name] for each in rounds):
            raise RuntimeError(f"{key}: the two programs have different values of {name}")
    ratios = [
        each["ours"]["clips_per_cpu_second"] / each[rival]["clips_per_cpu_second"]
        for each in rounds
    ]
    note = f"In CPU time, the value is {spread(ratios).median:.2f} ×."
    if rival == "tracked_fit" and importlib.util.find_spec("tensorboard") is None:
        note += " TensorBoard is not installed, so the rival is without its callback."
    return Result(
        row=find_row(key),
        ours=[each["ours"]["clips_per_second"] for each in rounds],
        rival=[each[rival]["clips_per_second"] for each in rounds],
        note=note,
    )
