"""A run directory while a run is working in it: locked, logged, mirrored, ended in order."""

import contextlib
import dataclasses
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.config.loading import flatten
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PrunedError
from pipeline.core.files import write_json
from pipeline.core.interrupts import interrupts_restored
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_events
from pipeline.core.urls import hide_passwords
from pipeline.tracking.background import BackgroundMirror, Untracked, mirrored, system_metrics
from pipeline.tracking.run_link import new_link, note_link, read_link, write_link
from pipeline.tracking.store import configure_mlflow, tracking_uri
from pipeline.workflows.environment import describe_environment

_CHARTED_STEPS = 2000
"""How many steps of a run MLflow is sent at the most; the run directory has them all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A run at work."""

    run: RunDirectory
    config: ExperimentConfig
    run_log: RunLog
    wake_mirror: Callable[[], None]
    """Says that the run log has grown."""
    mirror: BackgroundMirror | Untracked
    """Delivers the run to MLflow; after the session it has the reason for what is left."""


@contextlib.contextmanager
def open_session(
    run: RunDirectory,
    config: ExperimentConfig,
    *,
    num_steps: int,
    parent: RunDirectory | None = None,
) -> Iterator[Session]:
    """Work in a run directory; however the block ends, run log and MLflow say how.

    Args:
        run: The run directory.
        config: Configuration of the run.
        num_steps: Training steps to come, for the density of MLflow's charts.
        parent: Run that this one is nested in; its session is open too.
    """
    with run.locked():
        run_log = RunLog(run.run_log_path)
        if config.tracking.enabled and read_link(run.tracking_path) is None:
            _link_to_mlflow(run, config, num_steps=num_steps, parent=parent)
        patience = config.tracking.patience_seconds
        with mirrored(run, is_nested=parent is not None, patience_seconds=patience) as mirror:
            session = Session(
                run=run, config=config, run_log=run_log, wake_mirror=mirror.wake, mirror=mirror
            )
            if not _is_described(run):
                _describe(session)
            try:
                with (
                    interrupts_restored(),
                    system_metrics(run_log, enabled=config.tracking.system_metrics),
                ):
                    yield session
            except PrunedError as pruned:
                run_log.log_tags({"state": "PRUNED", "pruned": str(pruned)})
                run_log.log_status("FINISHED")
                raise
            except KeyboardInterrupt:
                run_log.log_status("KILLED", reason="interrupted")
                raise
            except BaseException as error:
                run_log.log_status("FAILED", reason=_one_line(error))
                raise
            run_log.log_status("FINISHED")


def _link_to_mlflow(
    run: RunDirectory, config: ExperimentConfig, *, num_steps: int, parent: RunDirectory | None
) -> None:
    configure_mlflow()
    # A nested run goes where its parent is, whatever this process would choose: it may be on
    # another machine, or of another day.
    home = read_link(parent.tracking_path) if parent else None
    link = new_link(
        tracking_uri=home.tracking_uri if home else tracking_uri(),
        experiment=home.experiment if home else config.tracking.experiment,
        run_name=config.tracking.run_name or config.name,
        parent_dir=os.path.relpath(parent.path, run.path) if parent else "",
        step_stride=max(1, -(-num_steps // _CHARTED_STEPS)),
    )
    # The run log names every MLflow run; the mirror notes the one that it makes.
    (note_link if link.run_id else write_link)(run.tracking_path, link)


def _is_described(run: RunDirectory) -> bool:
    """Return whether the run log has the last event of `_describe`; a kill may have come first."""
    return run.environment_path.exists() and any(
        event.kind == "artifacts" and "environment.json" in event.content["paths"]
        for event in read_events(run.run_log_path)
    )


def _describe(session: Session) -> None:
    """Tell the run log what this run is, first of all."""
    environment = describe_environment()
    write_json(session.run.environment_path, environment)
    # `mlflow run` has logged what was typed under the plain names, and a parameter cannot be
    # changed: "0.001" against 1e-3 would be a conflict.
    settings = {
        f"config.{name}": value
        for name, value in flatten(session.config).items()
        if not name.startswith("search.")  # only a search looks at them, and logs them itself
    }
    session.run_log.log_params(settings)
    tags = {
        "run_dir": str(session.run.path),
        "hostname": platform.node(),
        "python": environment["python"],
        **{f"version.{name}": value for name, value in environment["packages"].items()},
        **{f"git.{name}": value for name, value in environment["git"].items()},
    }
    if environment["device"]:
        tags["device"] = environment["device"]
    link = read_link(session.run.tracking_path)
    if link is not None and link.run_id and session.config.tracking.run_name:
        tags["mlflow.runName"] = session.config.tracking.run_name  # of a run of `mlflow run`
    if session.config.description:
        tags["mlflow.note.content"] = session.config.description
    session.run_log.log_tags(tags)
    session.run_log.log_artifacts(["config.yaml", "environment.json"])
    session.wake_mirror()


def with_run_name(config: ExperimentConfig, name: str) -> ExperimentConfig:
    """Return the configuration of a run that is called `name` in MLflow."""
    tracking = dataclasses.replace(config.tracking, run_name=name)
    return dataclasses.replace(config, tracking=tracking)


def _one_line(error: BaseException) -> str:
    lines = hide_passwords(str(error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:500]
