"""`environment.json`: code, versions, machine and command of a run."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GitState:
    """Version of the code; empty outside a checkout."""

    commit: str = ""
    is_dirty: bool | None = None
    error: str = ""
    """Message of git if the state is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Content of `environment.json`."""

    command: str
    git: GitState = GitState()
    python: str
    packages: dict[str, str]
    platform: str
    num_cpus: int | None = None
    device: str | None = None
    """Name of the GPU that trained, or "CPU"; None in a process without TensorFlow."""
    hostname: str = ""
    process_id: int | None = None
