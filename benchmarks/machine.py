"""Description of the machine, the versions and the commit of a measurement."""

import datetime as dt
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import psutil

REPOSITORY: Final = Path(__file__).resolve().parents[1]

_PACKAGES: Final = ("tensorflow", "keras", "mlflow", "optuna", "numpy", "tensorboard")


def describe_machine() -> dict[str, Any]:
    """Return commit, machine, versions, date and command of this measurement."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "is_dirty": bool(_git("status", "--porcelain")),
        "cpu": _cpu_model(),
        "num_cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks", *map(_short, sys.argv[1:])]),
        "load_average": round(psutil.getloadavg()[0], 2),
    }


def _short(argument: str) -> str:
    """Return the name of a file or directory, because its path depends on the machine."""
    return Path(argument).name if os.sep in argument else argument


def _git(*arguments: str) -> str:
    finished = subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return finished.stdout.strip()


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
