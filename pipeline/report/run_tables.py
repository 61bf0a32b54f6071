"""The tables of how a run went and what it ran on: times, settings, versions."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from pipeline.config.loading import flatten
from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.records.time_logs import TimeLogs
from pipeline.report.loading import RunRecords
from pipeline.report.tables import Cell, Row, Table
from pipeline.report.wording import duration, percent, plain, sentence

_PARTS: Final[Mapping[str, str]] = {
    "start": "start-up",
    "step": "training steps",
    "input": "waiting for input",
    "wait": "waits between steps",
    "checkpoint": "checkpoints",
    "rest": "rest of the epochs",
}
"""What parts of the time are called that have not got a name for people; as in the figures."""


def time_table(times: TimeLogs) -> Table | None:
    """Return the measured times; None where nothing was measured."""
    rows = tuple(_times(times))
    if not rows:
        return None
    return Table(
        caption="Measured times",
        columns=("", "time, or its median", "95 % within"),
        rows=rows,
    )


def breakdown_table(times: TimeLogs) -> Table | None:
    """Return what the time went to, largest share first; None where it was not measured."""
    parts = times.breakdown
    total = sum(parts.values())
    if not total:
        return None
    ranked = sorted(parts.items(), key=lambda part: -part[1])
    return Table(
        caption="Where the time went",
        columns=("part", "time", "share"),
        rows=tuple(
            Row(
                heading=sentence(_PARTS.get(name, name.replace("_", " "))),
                cells=(Cell(text=duration(seconds)), Cell(text=percent(seconds / total))),
            )
            for name, seconds in ranked
            if seconds
        ),
    )


def config_table(config: ExperimentConfig) -> Table:
    """Return every setting, and its default where that is another value."""
    defaults = flatten(ExperimentConfig())
    return Table(
        caption="Resolved settings",
        columns=("setting", "value", "default, where it differs"),
        rows=tuple(_setting_row(name, value, defaults) for name, value in flatten(config).items()),
        is_numeric=False,
    )


def environment_table(records: RunRecords) -> Table | None:
    """Return code, versions and machine; None where they are not on record."""
    environment = records.environment
    if environment is None:
        return None
    git = environment.git
    state = "" if git.is_dirty is None else ", changed since" if git.is_dirty else ", unchanged"
    values = {
        "commit": f"{git.commit}{state}" if git.commit else None,
        "Python": environment.python,
        **environment.packages,
        "platform": environment.platform,
        "CPUs": environment.num_cpus,
        "device": environment.device,
        "digest of the features": records.features.digest if records.features else None,
    }
    return Table(
        caption="What it ran on",
        columns=("", "value"),
        rows=tuple(
            Row(heading=name, cells=(Cell(text=plain(value)),)) for name, value in values.items()
        ),
        is_numeric=False,
    )


def _times(times: TimeLogs) -> Iterator[Row]:
    if times.total_training_time is not None:
        yield _time_row("all epochs, validation included", times.total_training_time)
    if times.num_epochs:
        first = float(times.epoch_times[0])
        yield _time_row("training part of the first epoch, start-up included", first)
    yield from _distribution("training part of each further epoch", times.epoch_times[1:])
    if times.validation_times.any():
        yield from _distribution("validation of an epoch", times.validation_times)
    yield from _distribution("training step", times.batch_times)
    yield from _distribution("wait before a step", times.batch_wait_times)


def _distribution(name: str, seconds: FloatArray) -> Iterator[Row]:
    if seconds.size > 1:
        yield _time_row(name, float(np.median(seconds)), float(np.percentile(seconds, 95)))
    elif seconds.size:
        yield _time_row(name, float(seconds[0]))


def _time_row(heading: str, seconds: float, late: float | None = None) -> Row:
    texts = (duration(seconds), "" if late is None else duration(late))
    return Row(heading=heading, cells=tuple(Cell(text=text) for text in texts))


def _setting_row(name: str, value: Any, defaults: Mapping[str, Any]) -> Row:
    text, default = plain(value), plain(defaults.get(name))
    is_changed = text != default
    cells = (Cell(text=text), Cell(text=default if is_changed else ""))
    return Row(heading=name, cells=cells, is_key=is_changed)
