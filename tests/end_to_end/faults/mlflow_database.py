"""Reader for MLflow's SQLite database, because MLflow's client hides duplicate points."""

import contextlib
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.end_to_end.faults.campaign import Outcome

_MEASURED = re.compile(r"^(speed|usage)/|seconds")
_OF_ONE_RUN = re.compile(r"path|_dir|folder|package_model|patience")


@dataclass
class StoredRun:
    """One MLflow run in the database."""

    run_id: str
    status: str
    parent: str
    points: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Number of stored points per metric key and step.

    The headline metrics have one point per epoch and one of the saved model, all in step 0.
    """
    values: dict[tuple[str, int], float] = field(default_factory=dict)
    """Newest value per metric key and step."""
    params: dict[str, str] = field(default_factory=dict)
    num_models: int = 0
    """Number of complete packaged models."""


def read_runs(database: Path) -> list[StoredRun]:
    """Return the runs of a store, sorted by start time."""
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
                "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY timestamp",
                run_id,
            ):
                run.points[key, step] += 1
                run.values[key, step] = value
            run.params = dict(rows("SELECT key, value FROM params WHERE run_uuid = ?", run_id))
            run.num_models = len(
                rows("SELECT 1 FROM logged_models WHERE source_run_id = ? AND status = 2", run_id)
            )
            runs.append(run)
    return runs


def count_points(
    runs: list[StoredRun], expected: StoredRun, outcome: Outcome, case: str
) -> StoredRun:
    """Count lost and duplicate runs and points; return the run with the most points."""
    run = max(runs, key=lambda run: len(run.points))
    for extra in runs:
        if extra is not run:
            outcome.add_double(f"{case}: MLflow has a second run {extra.run_id}, {extra.status}")
    outcome.expect(run.status == expected.status, f"{case}: the MLflow run is {run.status}")
    for point in sorted(expected.points.keys() - run.points.keys()):
        outcome.add_lost(f"{case}: {point} is missing in MLflow")
    for point, number in sorted(run.points.items()):
        if number > expected.points[point]:
            outcome.add_double(f"{case}: MLflow has {number} points {point}")
        elif number < expected.points[point]:
            outcome.add_lost(f"{case}: MLflow has only {number} points {point}")
        elif not _MEASURED.search(point[0]) and run.values[point] != expected.values[point]:
            outcome.add_lost(f"{case}: {point} has another value in MLflow")
    return run


def count_differences(
    database: Path, reference: Path, outcome: Outcome, case: str, *, has_model: bool = True
) -> None:
    """Count runs, points, parameters and models that MLflow lost or stored twice."""
    runs, (expected,) = read_runs(database), read_runs(reference)
    if not runs:
        outcome.add_lost(f"{case}: MLflow has no run")
        return
    run = count_points(runs, expected, outcome, case)
    for name, value in expected.params.items():
        if not _OF_ONE_RUN.search(name) and run.params.get(name) != value:
            outcome.add_lost(f"{case}: the parameter {name} is {run.params.get(name)!r} in MLflow")
    num_models = expected.num_models if has_model else 0
    if run.num_models > num_models:
        outcome.add_double(f"{case}: {run.num_models} packaged models")
    elif run.num_models < num_models:
        outcome.add_lost(f"{case}: the packaged model is missing")
