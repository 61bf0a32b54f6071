"""Peak memory of `train`, and its time per clip, for feature sets of several sizes on disk.

Each batch is read from the files (`training.cache=disk`). The model is the same for all sizes. The
time per clip is the time of the training steps, including the waits between steps, without the
first call of the graph, which includes the tracing. For small sets, it contains several epochs.

The memory is the resident memory (RSS) of the command and its child processes. It also contains
pages of the memory-mapped files. The system frees these pages if other programs need memory.
"""

import shutil
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.data import SMALL_SEQUENCES, write_set
from benchmarks.measure.commands import recorded_steps
from benchmarks.rows import ROWS, Result, find_row

_BATCH_SIZE = 128
_STEPS_PER_EXECUTION = 32
_NUM_CLIPS = 16_000
"""Least number of training clips; small sets are trained for several epochs."""
_SETTINGS = {
    "training.cache": "disk",
    "training.batch_size": _BATCH_SIZE,
    "training.steps_per_execution": _STEPS_PER_EXECUTION,
    "training.learning_rate": 0.001,
    "training.weight_decay": 0.01,
    "training.early_stopping_patience": 0,
    "evaluation.figures": False,  # they show a sample of the clips
    "model.fusion_dim": 32,
    "model.num_tokens": 4,
    "model.dropout_rate": 0.1,
}


def measure(bench: Bench) -> list[Result]:
    """Train on each size, once."""
    costs, finished, num_bytes = {}, {}, 0
    for num_clips in bench.sizes.large_sizes:
        features_dir = bench.directory / "large" / str(num_clips)
        write_set(features_dir, SMALL_SEQUENCES, num_clips=num_clips)
        num_bytes = sum(path.stat().st_size for path in features_dir.glob("*.npy"))
        num_epochs = max(1, round(_NUM_CLIPS / num_clips))
        settings = {**_SETTINGS, "training.num_epochs": num_epochs}
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        finished[num_clips], run_dir = bench.train(features_dir, *options, watches_memory=True)
        costs[num_clips] = microseconds_per_clip(run_dir)
        shutil.rmtree(features_dir)
    least, *_, most = bench.sizes.large_sizes
    large, small = finished[most], finished[least]
    note = (
        f"Without pages of files, the peak is {large.peak_private_mb:,.0f} MB against "
        f"{small.peak_private_mb:,.0f} MB. The arrays take {num_bytes / 1e6:,.0f} MB on disk."
    )
    row = find_row("memory/train")
    results = [Result(row=row, ours=[large.peak_mb], rival=[small.peak_mb], note=note)]
    for row in ROWS:
        num_clips = int(row.key.partition("clip_cost/")[2] or 0)
        if num_clips in costs:
            results.append(Result(row=row, ours=[costs[num_clips]], rival=[costs[least]]))
    return results


def microseconds_per_clip(run_dir: Path) -> float:
    """Return the time per clip of all steps after the first call of the graph."""
    epochs = recorded_steps(run_dir)
    seconds = [
        step + wait
        for epoch in epochs
        for step, wait in zip(epoch.seconds, epoch.wait_seconds, strict=True)
    ]
    measured = seconds[_STEPS_PER_EXECUTION:]
    # The last batch of an epoch can be smaller. Its influence is below 1 %.
    return 1e6 * sum(measured) / (len(measured) * _BATCH_SIZE)
