"""The commands that make a run again."""

import shlex
from dataclasses import dataclass
from pathlib import PurePath

from pipeline.report.loading import CONFIG_FILE, RunRecords


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One way to make the run again."""

    heading: str
    lines: tuple[str, ...]


def recipes(records: RunRecords) -> tuple[Recipe, ...]:
    """Return how the run was started, and how its own configuration is run again."""
    environment = records.environment
    if environment is None:
        return ()
    checkout = (f"git checkout {environment.git.commit}",) if environment.git.commit else ()
    ways = [Recipe(heading="As it was started", lines=(*checkout, _command(environment.command)))]
    if records.config is not None:
        config = shlex.quote(str(PurePath(records.directory or records.name, CONFIG_FILE)))
        again = f"python -m pipeline train --config {config}"
        ways.append(Recipe(heading="From its own configuration", lines=(*checkout, again)))
    return tuple(ways)


def _command(recorded: str) -> str:
    """Return a command as a person types it: `python -m pipeline` is recorded as `__main__.py`."""
    program, _, rest = recorded.partition(" ")
    if PurePath(program).name == "__main__.py":
        return f"python -m pipeline {rest}".rstrip()
    return recorded
