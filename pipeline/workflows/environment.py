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
    """Return commit, versions, machine, device and command, as plain values."""
    return {
        "command": hide_passwords(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "git": _git_state(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "num_cpus": os.cpu_count(),
        "device": describe_device(),
        "hostname": platform.node(),
        "process_id": os.getpid(),
    }


def describe_device() -> str | None:
    """Return the device that trains; None in a process that has not imported TensorFlow.

    The leader of a search is such a process: its workers train.
    """
    if "tensorflow" not in sys.modules:
        return None
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return "CPU"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{name} (first of {len(gpus)} GPUs)" if len(gpus) > 1 else str(name)


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
