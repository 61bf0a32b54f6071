"""How large the campaign is, its seed, and what it counts.

`make faults` sets FAULTS=full and runs everything; `make test` runs a sample of the same tables.
"""

import os
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

IS_FULL = os.environ.get("FAULTS") == "full"
SEED = int(os.environ.get("FAULTS_SEED", "12"))


def size(full: int, sample: int) -> int:
    """Return a number of cases: in the full campaign, or in the sample that CI runs."""
    return full if IS_FULL else sample


def stream(*key: object) -> random.Random:
    """Return the random stream of a case; the seed of the campaign decides it."""
    return random.Random("/".join(map(str, (SEED, *key))))


def sampled(cases: list[Any], number: int, key: str) -> list[Any]:
    """Return all cases in the full campaign, else `number` of them, drawn by the seed."""
    return cases if IS_FULL else stream(key).sample(cases, min(number, len(cases)))


@dataclass
class Toll:
    """What a fault has cost: one row of the table."""

    fault: str
    """Name of the fault."""
    times: int = 0
    """How often it was injected."""
    lost: int = 0
    """Values that are missing or are not those of the undisturbed run."""
    doubled: int = 0
    """Points, runs and trials that are there more than once."""
    executed: int = 0
    """How often code from a file was executed."""
    endings: Counter[str] = field(default_factory=Counter)
    """How the commands ended."""
    problems: list[str] = field(default_factory=list)
    """What is not as promised, in words."""

    def lose(self, problem: str) -> None:
        """Count a value that is missing or different."""
        self.lost += 1
        self.problems.append(problem)

    def double(self, problem: str) -> None:
        """Count what is there more than once."""
        self.doubled += 1
        self.problems.append(problem)

    def expect(self, is_as_promised: bool, problem: str) -> bool:
        """Note a problem that costs no value: a traceback, a wrong status, a left-over file."""
        if not is_as_promised:
            self.problems.append(problem)
            self.endings["not as promised"] += 1
        return is_as_promised

    def check(self) -> None:
        """Fail if anything is not as promised."""
        assert not self.problems, "\n".join([self.fault, *self.problems[:40]])

    def row(self) -> dict[str, Any]:
        """Return the toll as plain values, for the report of the test."""
        return {
            "fault": self.fault,
            "times": self.times,
            "lost": self.lost,
            "doubled": self.doubled,
            "executed": self.executed,
            "endings": dict(self.endings),
        }


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Return one row per fault, in the order in which the faults came first."""
    tolls: dict[str, Toll] = {}
    for row in rows:
        toll = tolls.setdefault(row["fault"], Toll(row["fault"]))
        for name in ("times", "lost", "doubled", "executed"):
            setattr(toll, name, getattr(toll, name) + row[name])
        toll.endings.update(row["endings"])
    lines = [
        "| fault | times | lost | doubled | executed | how it ended |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for toll in sorted(tolls.values(), key=lambda toll: toll.fault):
        endings = ", ".join(f"{ending} ({n})" for ending, n in toll.endings.most_common())
        numbers = f"{toll.times} | {toll.lost} | {toll.doubled} | {toll.executed}"
        lines.append(f"| {toll.fault} | {numbers} | {endings} |")
    return "\n".join(lines)
