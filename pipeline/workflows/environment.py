"""What a run depends on besides its configuration: code, versions, machine, command."""

import importlib.metadata
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

from pipeline.core.urls import hide_passwords

_PACKAGES = ("keras", "mlflow", "numpy", "optuna", "pandas", "scikit-learn", "tensorflow")


def describe_environment() -> dict[str, Any]:
    """Return commit, versions, machine and command, as plain values."""
    return {
        "command": hide_passwords(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "git": _git_state(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "num_cpus": os.cpu_count(),
        "hostname": platform.node(),
        "process_id": os.getpid(),
    }


def _git_state() -> dict[str, Any]:
    """Return the commit of this code and whether it was changed since; empty outside git."""
    # Importing it fails where there is no git, unless it is told to be quiet about that.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import git

    try:
        repository = git.Repo(Path(__file__).parent, search_parent_directories=True)
        return {
            "commit": repository.head.commit.hexsha,
            "is_dirty": repository.is_dirty(untracked_files=False),
        }
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, ValueError):
        return {}
    except git.CommandError as error:
        return {"error": str(error).splitlines()[0]}
