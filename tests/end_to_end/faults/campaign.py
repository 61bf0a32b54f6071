"""Size and seed of the fault tests, and the outcome of each fault.

`make faults` sets FAULTS=full and runs all cases. `make test` runs a sample of the cases.
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.end_to_end.faults.launcher import Ended

IS_FULL = os.environ.get("FAULTS") == "full"
SEED = int(os.environ.get("FAULTS_SEED", "12"))

only_full = pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")


def size(full: int, sample: int) -> int:
    """Return the number of cases in the full campaign or in the sample."""
    return full if IS_FULL else sample


def stream(*key: object) -> random.Random:
    """Return the random number generator of a case, which depends on the seed of the campaign."""
    return random.Random("/".join(map(str, (SEED, *key))))


def sampled(cases: list[Any], number: int, key: str) -> list[Any]:
    """Return all cases in the full campaign, and otherwise a random sample of `number` cases."""
    return cases if IS_FULL else stream(key).sample(cases, min(number, len(cases)))


@dataclass
class Outcome:
    """Effects of a fault: one row of the table."""

    fault: str
    """Name of the fault."""
    times: int = 0
    """Number of injections."""
    lost: int = 0
    """Number of values that are missing or differ from the undisturbed run."""
    doubled: int = 0
    """Number of duplicate points, runs and trials."""
    executed: int = 0
    """Number of files whose code was executed."""
    endings: Counter[str] = field(default_factory=Counter)
    """Number of commands per kind of ending."""
    problems: list[str] = field(default_factory=list)
    """Descriptions of broken guarantees."""

    def add_lost(self, problem: str) -> None:
        """Count a missing or different value."""
        self.lost += 1
        self.problems.append(problem)

    def add_double(self, problem: str) -> None:
        """Count a duplicate point, run or trial."""
        self.doubled += 1
        self.problems.append(problem)

    def expect(self, is_as_promised: bool, problem: str) -> bool:
        """Add a problem that changes no value, e.g. a wrong status, if a guarantee is broken."""
        if not is_as_promised:
            self.problems.append(problem)
            self.endings["not as promised"] += 1
        return is_as_promised

    def expect_status(self, ended: Ended, *statuses: int, case: str) -> None:
        """Count the ending of a command; expect one of these statuses and no traceback."""
        self.endings[f"status {ended.status}"] += 1
        self.expect(
            ended.status in statuses and not ended.has_traceback,
            f"{case}: status {ended.status}, {ended.err[-800:]}",
        )

    def check(self) -> None:
        """Fail if a guarantee is broken."""
        assert not self.problems, "\n".join([self.fault, *self.problems[:40]])

    def row(self) -> dict[str, Any]:
        """Return the outcome as JSON values, for the report of the test."""
        return {
            "fault": self.fault,
            "times": self.times,
            "lost": self.lost,
            "doubled": self.doubled,
            "executed": self.executed,
            "endings": dict(self.endings),
        }


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Return a table with one row per fault, sorted by name."""
    outcomes: dict[str, Outcome] = {}
    for row in rows:
        outcome = outcomes.setdefault(row["fault"], Outcome(row["fault"]))
        for name in ("times", "lost", "doubled", "executed"):
            setattr(outcome, name, getattr(outcome, name) + row[name])
        outcome.endings.update(row["endings"])
    lines = [
        "| fault | times | lost | doubled | executed | how it ended |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for fault, outcome in sorted(outcomes.items()):
        endings = ", ".join(f"{ending} ({n})" for ending, n in outcome.endings.most_common())
        numbers = f"{outcome.times} | {outcome.lost} | {outcome.doubled} | {outcome.executed}"
        lines.append(f"| {fault} | {numbers} | {endings} |")
    return "\n".join(lines)
