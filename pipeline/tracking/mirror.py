"""Mirrors a run directory to MLflow: in batches, in the background, again after an outage.

The journal is the source of truth. The mirror reads it from where it left off, sends what
is there, and notes how far it got. A store that is gone costs training nothing; what it
missed is sent when it is back, at the end of the run, or by `sync`. Sending twice does no
harm, as points carry the times of the journal.
"""

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline.core.attention_record import ATTENTION_EVENT
from pipeline.core.journal import EPOCH, FINISHED, RESUMED, Event
from pipeline.core.run_directory import RunDirectory
from pipeline.core.urls import sqlite_path
from pipeline.tracking import vocabulary
from pipeline.tracking.link import Link, note_link, read_link, write_link
from pipeline.tracking.news import News, read_news
from pipeline.tracking.packaged_model import log_packaged_model
from pipeline.tracking.store import (
    STORE_ERRORS,
    configure_mlflow,
    one_line,
    open_store,
    with_password,
)
from pipeline.tracking.system_metrics import SYSTEM

_FAILURE_TAG = "failure"
_BATCH = 1000


class StoreUnavailableError(Exception):
    """The store cannot be reached now; nothing is lost, as the journal has it all."""


class Mirror:
    """Delivers the journal of one run directory to its MLflow run.

    Args:
        run: The run directory; its `mlflow.json` says which run mirrors it.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._client: MlflowClient | None = None
        self._handlers: dict[str, Callable[[str, Event], None]] = {
            "params": self._send_params,
            "tags": self._send_tags,
            "dataset": self._send_dataset,
            "artifacts": self._send_artifacts,
            "model": self._send_model,
            RESUMED: self._send_resumed,
            FINISHED: self._send_finished,
        }

    def deliver(self) -> None:
        """Send what is committed and not yet delivered, of nested runs too.

        Raises:
            StoreUnavailableError: If the store cannot be reached; what was sent is noted.
        """
        self.deliver_own()
        for nested in self._run.nested():
            Mirror(nested).deliver_own()

    def deliver_own(self) -> None:
        """Send what is committed and not yet delivered, of this run alone.

        Raises:
            StoreUnavailableError: If the store cannot be reached; what was sent is noted.
        """
        if is_delivered(self._run):
            return
        # A run and those nested in it wake each other: two that deliver the same run at
        # once would create it twice.
        with filelock.FileLock(self._run.path / ".delivery.lock"):
            link = read_link(self._run.tracking_path)
            if link is None or is_delivered(self._run):
                return
            try:
                link = self._with_run(link)
                self._send(link, read_news(self._run, start=link.delivered))
            except STORE_ERRORS as error:
                self._client = None
                raise StoreUnavailableError(one_line(error)) from error

    def _with_run(self, link: Link) -> Link:
        """Connect, and create the run where there is none yet."""
        if self._client is None:
            configure_mlflow()
            self._client = open_store(with_password(link.tracking_uri))
        if link.run_id:
            return link
        experiment_id, tags = self._home(link)
        created = self._client.create_run(
            experiment_id, run_name=link.run_name, tags={**resolve_tags(), **tags}
        )
        if not created.info.run_id:  # a proxy that answers for a server with an empty page
            raise StoreUnavailableError(f"{link.tracking_uri} does not answer as MLflow does")
        link = dataclasses.replace(link, run_id=created.info.run_id)
        note_link(self._run.tracking_path, link)
        return link

    def _home(self, link: Link) -> tuple[str, dict[str, str]]:
        """Return the experiment of a run to be, and the tags that say where it belongs."""
        if not link.parent_dir:
            return link.experiment_id or self._experiment_id(link), {}
        parent = RunDirectory((self._run.path / link.parent_dir).resolve())
        Mirror(parent).deliver_own()
        parent_link = read_link(parent.tracking_path)
        if parent_link is None:
            # A search that joins a study learns the MLflow run of the study a moment later.
            raise StoreUnavailableError(f"{parent.path} has no MLflow run yet")
        experiment_id = self._store.get_run(parent_link.run_id).info.experiment_id
        return experiment_id, {MLFLOW_PARENT_RUN_ID: parent_link.run_id}

    def _experiment_id(self, link: Link) -> str:
        name = link.experiment
        experiment = self._store.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._store.create_experiment(name, _artifact_location(link)))
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
            # Another process was quicker.
            experiment = self._store.get_experiment_by_name(name)
        return str(experiment.experiment_id)

    def _send(self, link: Link, news: News) -> None:
        points: list[Metric] = []
        for event in news.events:
            if event.kind == EPOCH:
                points += vocabulary.epoch_metrics(event, step_stride=link.step_stride)
            elif event.kind in ("metrics", SYSTEM):
                points += vocabulary.plain_metrics(event)
            elif event.kind == ATTENTION_EVENT:
                points += vocabulary.attention_metrics(event)
            elif event.kind in self._handlers:
                self._send_points(link.run_id, points)
                points = []
                self._handlers[event.kind](link.run_id, event)
                self._note(link, min(event.end, news.end))
        self._send_points(link.run_id, points)
        self._note(link, news.end)

    def _note(self, link: Link, delivered: int) -> None:
        """Note that the store has the journal up to the byte `delivered`."""
        write_link(self._run.tracking_path, dataclasses.replace(link, delivered=delivered))

    @property
    def _store(self) -> MlflowClient:
        if self._client is None:
            raise StoreUnavailableError("not connected")
        return self._client

    def _send_points(self, run_id: str, points: list[Metric]) -> None:
        for begin in range(0, len(points), _BATCH):
            self._store.log_batch(run_id, metrics=points[begin : begin + _BATCH])

    def _send_params(self, run_id: str, event: Event) -> None:
        known = self._store.get_run(run_id).data.params
        new = [param for param in vocabulary.params(event) if param.key not in known]
        for begin in range(0, len(new), 100):
            self._store.log_batch(run_id, params=new[begin : begin + 100])

    def _send_tags(self, run_id: str, event: Event) -> None:
        self._store.log_batch(run_id, tags=vocabulary.tags(event))

    def _send_dataset(self, run_id: str, event: Event) -> None:
        self._store.log_inputs(run_id, datasets=vocabulary.dataset_inputs(event))

    def _send_artifacts(self, run_id: str, event: Event) -> None:
        for name in event.content["paths"]:
            path = self._run.path / name
            with _artifact_store_errors():
                if path.is_dir():
                    self._store.log_artifacts(run_id, str(path), artifact_path=name)
                elif path.exists():
                    folder = Path(name).parent.as_posix()
                    self._store.log_artifact(run_id, str(path), None if folder == "." else folder)

    def _send_model(self, run_id: str, event: Event) -> None:
        with _artifact_store_errors():
            log_packaged_model(
                self._run,
                run_id,
                registered_name=event.content["registered_model"],
                alias=event.content.get("alias", ""),
            )

    def _send_resumed(self, run_id: str, event: Event) -> None:
        del event
        self._store.update_run(run_id, status="RUNNING")
        if _FAILURE_TAG in self._store.get_run(run_id).data.tags:
            self._store.delete_tag(run_id, _FAILURE_TAG)

    def _send_finished(self, run_id: str, event: Event) -> None:
        if event.content.get("reason"):
            self._store.set_tag(run_id, _FAILURE_TAG, event.content["reason"])
        self._store.set_terminated(run_id, status=event.content["status"], end_time=event.time_ms)


def is_delivered(run: RunDirectory) -> bool:
    """Return whether MLflow has all that a run log holds, or the run is not tracked."""
    link = read_link(run.tracking_path)
    if link is None:
        return True
    return bool(link.run_id) and not read_news(run, start=link.delivered).events


def deliver_rest(run: RunDirectory) -> str | None:
    """Deliver what is left, now; return None, or in a line why it is left for later."""
    try:
        Mirror(run).deliver()
    except StoreUnavailableError as error:
        return str(error)
    return None


@contextlib.contextmanager
def _artifact_store_errors() -> Iterator[None]:
    try:
        yield
    # Clouds raise errors of their own libraries, which are not known here.
    except Exception as error:
        raise StoreUnavailableError(one_line(error)) from error


def _artifact_location(link: Link) -> str | None:
    """Return where a new experiment in a SQLite file keeps its artifacts: beside the file.

    MLflow would take the working directory, which is another one for `sync`, and would read
    a `?`, `#` or `%` in its path as parts of a URI.
    """
    database = sqlite_path(link.tracking_uri)
    if database is None:
        return None
    return (database.parent / "mlruns" / secrets.token_hex(9)).as_uri()
