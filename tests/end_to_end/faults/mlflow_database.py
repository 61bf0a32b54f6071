"""Reads MLflow's SQLite database itself: what MLflow's client shows leaves doubled points out."""

import contextlib
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.faults.campaign import Toll

_MEASURED = re.compile(r"^(time|system)/|seconds")
_OF_ONE_RUN = re.compile(r"path|_dir|folder|package_model")


@dataclass
class StoredRun:
    """One MLflow run as the database has it."""

    run_id: str
    status: str
    parent: str
    points: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often each metric key and step is stored."""
    values: dict[tuple[str, int], float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    num_models: int = 0
    """Packaged models that are complete."""


def read_runs(database: Path) -> list[StoredRun]:
    """Return the runs of a store, the oldest first."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:

        def rows(query: str, *values: str) -> list[tuple]:
            return connection.execute(query, values).fetchall()

        runs = []
        for run_id, status in rows("SELECT run_uuid, status FROM runs ORDER BY start_time"):
            parents = rows(
                "SELECT value FROM tags WHERE run_uuid = ? AND key = 'mlflow.parentRunId'", run_id
            )
            run = StoredRun(run_id, status, parents[0][0] if parents else "")
            for key, step, value in rows(
                "SELECT key, step, value FROM metrics WHERE run_uuid = ?", run_id
            ):
                run.points[key, step] += 1
                run.values[key, step] = value
            run.params = dict(rows("SELECT key, value FROM params WHERE run_uuid = ?", run_id))
            run.num_models = len(
                rows("SELECT 1 FROM logged_models WHERE source_run_id = ? AND status = 2", run_id)
            )
            runs.append(run)
    return runs


def count_points(runs: list[StoredRun], expected: StoredRun, toll: Toll, case: str) -> StoredRun:
    """Add to a toll the runs and points that MLflow lost or doubled; return the run that counts."""
    run = max(runs, key=lambda run: len(run.points))
    for extra in runs:
        if extra is not run:
            toll.double(f"{case}: MLflow has a second run, {extra.run_id}, {extra.status}")
    toll.expect(run.status == expected.status, f"{case}: the MLflow run is {run.status}")
    for point in sorted(expected.points.keys() - run.points.keys()):
        toll.lose(f"{case}: MLflow lacks {point}")
    for point, number in sorted(run.points.items()):
        if number > 1 or point not in expected.points:
            toll.double(f"{case}: MLflow has {point} {number} times")
        elif not _MEASURED.search(point[0]) and run.values[point] != expected.values[point]:
            toll.lose(f"{case}: MLflow has another value of {point}")
    return run


def count_differences(
    database: Path, reference: Path, toll: Toll, case: str, *, has_model: bool = True
) -> None:
    """Add to a toll what MLflow lost or doubled, compared with an undisturbed run."""
    runs, (expected,) = read_runs(database), read_runs(reference)
    if not runs:
        toll.lose(f"{case}: MLflow has no run")
        return
    run = count_points(runs, expected, toll, case)
    for name, value in expected.params.items():
        if not _OF_ONE_RUN.search(name) and run.params.get(name) != value:
            toll.lose(f"{case}: MLflow has {run.params.get(name)!r} for the parameter {name}")
    num_models = expected.num_models if has_model else 0
    if run.num_models > num_models:
        toll.double(f"{case}: {run.num_models} packaged models")
    elif run.num_models < num_models:
        toll.lose(f"{case}: the packaged model is missing")
