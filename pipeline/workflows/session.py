"""Open a run directory: acquire the lock, start the MLflow mirror, and log the final status."""

import contextlib
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.loading import flatten
from pipeline.config.run_name import default_run_name
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PrunedError
from pipeline.core.files import write_json
from pipeline.core.interrupts import interrupts_restored
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_events
from pipeline.core.urls import hide_passwords
from pipeline.tracking.background import BackgroundMirror, Untracked, mirrored, system_metrics
from pipeline.tracking.mlflow_settings import configure_mlflow, tracking_uri
from pipeline.tracking.run_link import new_link, note_link, read_link, write_link
from pipeline.tracking.tracking_process import TrackingProcess

_MAX_CHARTED_STEPS: Final = 2000
"""Maximum number of steps that are sent to an MLflow run. The run directory has all steps."""
_PACKAGES: Final = ("keras", "mlflow", "numpy", "optuna", "pandas", "scikit-learn", "tensorflow")


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """An open run."""

    run: RunDirectory
    config: ExperimentConfig
    run_log: RunLog
    wake_mirror: Callable[[], None]
    """Function to call after new events are added to the run log."""
    mirror: BackgroundMirror | Untracked
    """Object that sends the run to MLflow. Its attribute `undelivered` is set at the end."""


@contextlib.contextmanager
def open_session(
    run: RunDirectory,
    config: ExperimentConfig,
    *,
    num_steps: int,
    run_name: str = "",
    parent: RunDirectory | None = None,
    tracking: TrackingProcess | None = None,
) -> Iterator[Session]:
    """Open a run. Log the description at the start and the status at the end, even after errors.

    If the expected number of steps `num_steps` is large, only every n-th step is sent to
    MLflow. `run_name` is the name of a new MLflow run; `config.tracking.run_name` has priority,
    except in a nested run. If the run is nested, the session of `parent` must be open.
    `tracking` is the process that sends the run to MLflow; by default this process.
    """
    with run.locked():
        run_log = RunLog(run.run_log_path)
        new_name = ""
        if config.tracking.enabled and read_link(run.tracking_path) is None:
            own_name = "" if parent else config.tracking.run_name
            name = own_name or run_name or default_run_name(config)
            # `mlflow run` has already created the MLflow run, with a name that says nothing.
            existing = "" if parent else os.environ.get("MLFLOW_RUN_ID", "")
            if existing and (own_name or not _has_given_name(existing)):
                new_name = name
            _link_to_mlflow(run, config, name, num_steps=num_steps, parent=parent)
        patience = config.tracking.patience_seconds
        with mirrored(
            run, is_nested=parent is not None, patience_seconds=patience, process=tracking
        ) as mirror:
            session = Session(
                run=run, config=config, run_log=run_log, wake_mirror=mirror.wake, mirror=mirror
            )
            if not _is_described(run):
                _describe(session, new_name)
            try:
                with (
                    interrupts_restored(),
                    system_metrics(run_log, enabled=config.tracking.system_metrics),
                ):
                    yield session
            except PrunedError as pruned:
                # MLflow has no status for pruned runs, so the name contains the word.
                link = read_link(run.tracking_path)
                words = (link.run_name if link else run_name).split(" ")
                name = " ".join([words[0], "pruned", *words[1:]])
                note = f"Pruned: {pruned}."
                run_log.log_tags(
                    {"state": "PRUNED", "mlflow.runName": name, "mlflow.note.content": note}
                )
                run_log.log_status("FINISHED")
                raise
            except KeyboardInterrupt:
                run_log.log_status("KILLED", reason="interrupted")
                raise
            except BaseException as error:
                run_log.log_status("FAILED", reason=_first_line(error))
                raise
            run_log.log_status("FINISHED")


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
    """Return the training device, or None if the process has not imported TensorFlow.

    The main process of a search does not import TensorFlow, because only its workers train models.
    """
    if "tensorflow" not in sys.modules:
        return None
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return "CPU"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{name} (first of {len(gpus)} GPUs)" if len(gpus) > 1 else str(name)


def _link_to_mlflow(
    run: RunDirectory,
    config: ExperimentConfig,
    run_name: str,
    *,
    num_steps: int,
    parent: RunDirectory | None,
) -> None:
    configure_mlflow()
    # A nested run uses the MLflow store of its parent, even if another store is configured.
    home = read_link(parent.tracking_path) if parent else None
    link = new_link(
        tracking_uri=home.tracking_uri if home else tracking_uri(),
        experiment=home.experiment if home else config.tracking.experiment,
        run_name=run_name,
        parent_dir=os.path.relpath(parent.path, run.path) if parent else "",
        step_stride=max(1, -(-num_steps // _MAX_CHARTED_STEPS)),
    )
    # For an existing MLflow run, the link is also added to the run log here. For a new MLflow run,
    # this happens when the MLflow run is created.
    (note_link if link.run_id else write_link)(run.tracking_path, link)


def _has_given_name(run_id: str) -> bool:
    from pipeline.tracking.project_run import has_given_name  # this imports MLflow

    return has_given_name(run_id)


def _is_described(run: RunDirectory) -> bool:
    """Return True if the run log contains the last event of `_describe`."""
    return run.environment_path.exists() and any(
        event.kind == "artifacts" and "environment.json" in event.content["paths"]
        for event in read_events(run.run_log_path)
    )


def _describe(session: Session, new_name: str) -> None:
    """Log settings, tags and files. `new_name` renames an existing MLflow run; "" does not."""
    environment = describe_environment()
    write_json(session.run.environment_path, environment)
    settings = {
        name: value
        for name, value in flatten(session.config).items()
        # The workflow of a search logs the settings of the search. The other settings do not
        # affect the result, and MLflow shows them in other places.
        if not name.startswith(("search.", "tracking.", "description", "evaluation.figures"))
    }
    session.run_log.log_params(settings)
    tags = {
        "run_dir": str(session.run.path),
        "hostname": platform.node(),
        **{f"git.{name}": value for name, value in environment["git"].items()},
    }
    if environment["device"]:
        tags["device"] = environment["device"]
    if new_name:
        tags["mlflow.runName"] = new_name
    if session.config.description:
        tags["mlflow.note.content"] = session.config.description
    session.run_log.log_tags(tags)
    session.run_log.log_artifacts(["config.yaml", "environment.json"])
    session.wake_mirror()


def _git_state() -> dict[str, Any]:
    """Return the Git commit and the state of the files; empty outside a repository."""
    # Without this variable, the import fails if Git is not installed.
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


def _first_line(error: BaseException) -> str:
    lines = hide_passwords(str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:500]
