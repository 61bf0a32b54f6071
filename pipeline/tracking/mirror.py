"""Mirror a run directory to MLflow: in batches, in the background, again after an outage.

The journal is the source of truth. The mirror reads it from where it left off, sends what
is there, and notes how far it got. An outage costs training nothing: the rest is sent when the
store is back, at the end of the run, or by `sync`. What the store refuses is skipped and noted,
and `sync` tries it again. Sending twice does no harm, as points carry the times of the journal.
"""

import dataclasses
import logging
import secrets
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    PERMISSION_DENIED,
    RESOURCE_ALREADY_EXISTS,
    RESOURCE_DOES_NOT_EXIST,
    ErrorCode,
)
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline.core.errors import PipelineError
from pipeline.core.journal import FINISHED, RESUMED, Event, effective_events, read_events
from pipeline.core.run_directory import RunDirectory
from pipeline.core.urls import sqlite_path
from pipeline.tracking import vocabulary
from pipeline.tracking.bounded import call_within
from pipeline.tracking.link import Link, note_link, read_link, with_logged_run, write_link
from pipeline.tracking.news import read_news
from pipeline.tracking.packaged_model import log_packaged_model
from pipeline.tracking.store import (
    STORE_ERRORS,
    configure_mlflow,
    one_line,
    open_store,
    with_password,
)

_logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""How long a command waits for MLflow at its end."""

_FAILURE_TAG = "failure"
_RUN_KEY_TAG = "run_key"
_MAX_POINTS = 1000
_MAX_FIELDS = 100
_MAX_REFUSALS = 50
"""Refused items of one batch, none accepted, after which the store is taken to refuse them all."""


class DeliveryError(Exception):
    """The rest of a run cannot be delivered; nothing is lost, as the journal has it all."""


class StoreUnavailableError(DeliveryError):
    """The store cannot be reached now."""


class Mirror:
    """Delivers the journal of one run directory to its MLflow run.

    Args:
        run: The run directory; its `mlflow.json` says which run mirrors it.
        warns: Whether a refusal is logged as a warning, once per reason.
    """

    def __init__(self, run: RunDirectory, *, warns: bool = False) -> None:
        self._run = run
        self._warns = warns
        self._warned: set[str] = set()
        self._client: MlflowClient | None = None
        self._link: Link | None = None
        self._records: dict[str, Callable[[str, Event], None]] = {
            "params": self._send_params,
            "tags": self._send_tags,
            "dataset": self._send_dataset,
            RESUMED: self._send_resumed,
            FINISHED: self._send_finished,
        }
        self._files: dict[str, Callable[[str, Event], None]] = {
            "artifacts": self._send_artifacts,
            "model": self._send_model,
        }

    def deliver(self, *, retries_refused: bool = False) -> str | None:
        """Send what is committed and not yet delivered, of nested runs too.

        Args:
            retries_refused: Whether events that the store refused before are sent again.

        Returns:
            What the store refuses, in a line; None if it has everything.

        Raises:
            DeliveryError: If the rest cannot be delivered now; what was sent is noted.
        """
        refused = self.deliver_own(retries_refused=retries_refused)
        failure = None
        for nested in self._run.nested():
            try:
                reason = Mirror(nested).deliver_own(retries_refused=retries_refused)
            except StoreUnavailableError:
                raise
            except DeliveryError as error:  # of this nested run alone
                failure = failure or error
            else:
                refused = refused or reason
        if failure:
            raise failure
        return refused

    def deliver_own(self, *, retries_refused: bool = False) -> str | None:
        """Send what is committed and not yet delivered, of this run alone.

        See `deliver`.
        """
        if self._is_removed():
            self._end_removed()
        try:
            if is_delivered(self._run):  # needs no lock: the run may be read-only
                return None
            # A run and those nested in it wake each other: two that deliver the same run at
            # once would create it twice.
            with filelock.FileLock(self._run.path / ".delivery.lock"):
                return self._deliver_locked(retries_refused=retries_refused)
        except DeliveryError:
            self._client = None
            raise
        except (OSError, PipelineError) as error:  # of this machine, and no outage
            raise DeliveryError(one_line(error)) from error

    def _deliver_locked(self, *, retries_refused: bool) -> str | None:
        link = read_link(self._run.tracking_path)
        if link is None:
            return None
        if self._link is None:
            link = with_logged_run(self._run.tracking_path, link)
        self._link = link
        has_news = bool(read_news(self._run, start=link.delivered).events)
        if has_news or not link.run_id or (retries_refused and link.refused):
            link = self._link = self._with_run(link)
            news = read_news(self._run, start=link.delivered)  # with the MLflow run in it
            self._send(link.run_id, news.events, end=news.end)
            if retries_refused:
                self._send_refused(link)
            link = self._link
        if not link.refused:
            return None
        first, *others = link.refused.values()
        return f"it refused {first}" + (f", and {len(others)} more" if others else "")

    def _with_run(self, link: Link) -> Link:
        """Connect, and create the run unless there is one."""
        self._connect(link.tracking_uri)
        if link.run_id:
            return link
        experiment_id, tags = self._home(link)
        run_id = ""
        if link.run_key:  # the run may have been created, and the reply lost
            found = self._call(
                self._store.search_runs,
                [experiment_id],
                filter_string=f"tags.{_RUN_KEY_TAG} = '{link.run_key}'",
                max_results=1,
            )
            run_id = found[0].info.run_id if found else ""
        else:
            link = dataclasses.replace(link, run_key=uuid.uuid4().hex)
            write_link(self._run.tracking_path, link)
        if not run_id:
            tags = {**resolve_tags(), **tags, _RUN_KEY_TAG: link.run_key}
            created = self._call(
                self._store.create_run, experiment_id, run_name=link.run_name, tags=tags
            )
            run_id = created.info.run_id
        if not run_id:  # a proxy that answers for a server with an empty page
            raise StoreUnavailableError(f"{link.tracking_uri} does not answer as MLflow does")
        link = dataclasses.replace(link, run_id=run_id)
        note_link(self._run.tracking_path, link)
        return link

    def _connect(self, uri: str) -> None:
        if self._client is None:
            configure_mlflow()
            self._client = self._call(lambda: open_store(with_password(uri)))

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
        parent_run = self._call(self._store.get_run, parent_link.run_id)
        return parent_run.info.experiment_id, {MLFLOW_PARENT_RUN_ID: parent_link.run_id}

    def _experiment_id(self, link: Link) -> str:
        name = link.experiment
        experiment = self._call(self._store.get_experiment_by_name, name)
        if experiment is None:
            try:
                return str(self._store.create_experiment(name, _artifact_location(link)))
            except STORE_ERRORS as error:
                if not _has_code(error, RESOURCE_ALREADY_EXISTS):
                    raise StoreUnavailableError(one_line(error)) from error
            # Another process was quicker.
            experiment = self._call(self._store.get_experiment_by_name, name)
        return str(experiment.experiment_id)

    def _send(self, run_id: str, events: Sequence[Event], *, end: int) -> None:
        """Send events: first the records, so that no slow or refused file holds them up."""
        files = [event for event in events if event.kind in self._files]
        self._send_records(run_id, [event for event in events if event.kind not in self._files])
        ends = [event.start for event in files] + [end]
        self._note(min(ends[0], end))
        for event, following in zip(files, ends[1:], strict=True):
            self._files[event.kind](run_id, event)
            self._note(min(following, end))

    def _send_records(self, run_id: str, events: Sequence[Event]) -> None:
        points: list[tuple[Event, Metric]] = []
        for event in events:
            if event.kind in self._records:
                self._send_points(run_id, points)
                points = []
                self._records[event.kind](run_id, event)
            else:
                metrics = vocabulary.metrics(event, step_stride=self._known_link.step_stride)
                points += [(event, metric) for metric in metrics]
        self._send_points(run_id, points)

    def _send_refused(self, link: Link) -> None:
        """Send the events again that were refused before, unless a resume took them back."""
        events = effective_events(read_events(self._run.journal_path))
        for start in link.refused:
            refused = {key: text for key, text in self._known_link.refused.items() if key != start}
            self._link = dataclasses.replace(self._known_link, refused=refused)
            again = [event for event in events if str(event.start) == start]
            self._send(link.run_id, again, end=self._link.delivered)

    def _note(self, delivered: int) -> None:
        """Note that the store has the journal up to the byte `delivered`."""
        link = self._known_link
        self._link = dataclasses.replace(link, delivered=max(link.delivered, delivered))
        write_link(self._run.tracking_path, self._link)

    @property
    def _store(self) -> MlflowClient:
        if self._client is None:
            raise StoreUnavailableError("not connected")
        return self._client

    @property
    def _known_link(self) -> Link:
        if self._link is None:
            raise AssertionError("a run is sent once its link has been read")
        return self._link

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the store.

        Raises:
            StoreUnavailableError: If that fails.
        """
        try:
            return function(*args, **kwargs)
        except STORE_ERRORS as error:
            raise StoreUnavailableError(one_line(error)) from error

    def _try(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Exception | None:
        """Call the store; return the error if it answers and refuses.

        A store that still answers for the run has refused the call, whatever the error says.

        Raises:
            StoreUnavailableError: If the store does not answer any more.
            DeliveryError: If it does not have the run any more.
        """
        try:
            function(*args, **kwargs)
        # Clouds raise errors of their own libraries, which are not known here.
        except Exception as error:
            self._check_run(error)
            return error
        return None

    def _check_run(self, cause: Exception) -> None:
        run_id = self._known_link.run_id
        try:
            stage = self._store.get_run(run_id).info.lifecycle_stage
        except STORE_ERRORS as error:
            if _has_code(error, RESOURCE_DOES_NOT_EXIST):
                raise DeliveryError(
                    f"MLflow has no run {run_id}, which {self._run.tracking_path} names"
                ) from cause
            raise StoreUnavailableError(one_line(cause)) from cause
        if stage == LifecycleStage.DELETED:
            raise DeliveryError(
                f"the MLflow run {run_id} was deleted; restore it with "
                f"`mlflow runs restore --run-id {run_id}`"
            ) from cause

    def _attempt(
        self, event: Event, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Call the store for an event, and note a refusal."""
        error = self._try(function, *args, **kwargs)
        if error is not None:
            self._refuse(event, what, error)

    def _send_batch(
        self, items: Sequence[tuple[Event, Any]], send: Callable[[list[Any]], None]
    ) -> None:
        """Send items together; halve a batch that is refused until only the refused ones are left.

        Raises:
            DeliveryError: If the store accepts nothing at all.
        """
        parts, num_accepted, num_refused = [items], 0, 0
        while parts:
            part = parts.pop()
            error = self._try(send, [item for _, item in part])
            if error is None:
                num_accepted += len(part)
            elif _has_code(error, PERMISSION_DENIED) or (
                num_refused >= _MAX_REFUSALS and not num_accepted
            ):
                raise DeliveryError(one_line(error)) from error
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            else:
                num_refused += 1
                event, item = part[0]
                self._refuse(event, item.key, error)

    def _refuse(self, event: Event, what: str, error: Exception) -> None:
        """Skip what the store refuses: note it for `sync`, and warn once per reason."""
        if self._is_removed():
            self._end_removed()
        reason = one_line(error)
        if self._warns and reason not in self._warned:
            self._warned.add(reason)
            _logger.warning(
                "MLflow refused %s of %s (%s). It is skipped; everything else is delivered.",
                what,
                self._run.path.name,
                reason,
            )
        link = self._known_link
        refused = {**link.refused, str(event.start): f"{what} ({reason})"}
        self._link = dataclasses.replace(link, refused=refused)

    def _send_points(self, run_id: str, points: Sequence[tuple[Event, Metric]]) -> None:
        for begin in range(0, len(points), _MAX_POINTS):
            self._send_batch(
                points[begin : begin + _MAX_POINTS],
                lambda batch: self._store.log_batch(run_id, metrics=batch),
            )

    def _send_params(self, run_id: str, event: Event) -> None:
        known = self._call(self._store.get_run, run_id).data.params
        new = [(event, param) for param in vocabulary.params(event) if param.key not in known]
        for begin in range(0, len(new), _MAX_FIELDS):
            self._send_batch(
                new[begin : begin + _MAX_FIELDS],
                lambda batch: self._store.log_batch(run_id, params=batch),
            )

    def _send_tags(self, run_id: str, event: Event) -> None:
        tags = [(event, tag) for tag in vocabulary.tags(event)]
        for begin in range(0, len(tags), _MAX_FIELDS):
            self._send_batch(
                tags[begin : begin + _MAX_FIELDS],
                lambda batch: self._store.log_batch(run_id, tags=batch),
            )

    def _send_dataset(self, run_id: str, event: Event) -> None:
        inputs = vocabulary.dataset_inputs(event)
        self._attempt(event, "the data set", self._store.log_inputs, run_id, datasets=inputs)

    def _send_artifacts(self, run_id: str, event: Event) -> None:
        for name in event.content["paths"]:
            path = self._run.path / name
            if path.is_dir():
                send = (self._store.log_artifacts, run_id, str(path), name)
            elif path.exists():
                folder = Path(name).parent.as_posix()
                home = None if folder == "." else folder
                send = (self._store.log_artifact, run_id, str(path), home)
            else:
                continue
            self._attempt(event, name, *send)

    def _send_model(self, run_id: str, event: Event) -> None:
        self._attempt(
            event,
            "the model",
            log_packaged_model,
            self._run,
            run_id,
            registered_name=event.content["registered_model"],
            alias=event.content.get("alias", ""),
        )

    def _send_resumed(self, run_id: str, event: Event) -> None:
        self._try(self._store.update_run, run_id, status="RUNNING")  # the end sets it anyway
        if _FAILURE_TAG in self._call(self._store.get_run, run_id).data.tags:
            self._attempt(event, _FAILURE_TAG, self._store.delete_tag, run_id, _FAILURE_TAG)

    def _send_finished(self, run_id: str, event: Event) -> None:
        content = event.content
        if content.get("reason"):
            self._attempt(
                event, _FAILURE_TAG, self._store.set_tag, run_id, _FAILURE_TAG, content["reason"]
            )
        self._attempt(
            event,
            "the status",
            self._store.set_terminated,
            run_id,
            status=content["status"],
            end_time=event.time_ms,
        )

    def _is_removed(self) -> bool:
        """Return whether the run directory was removed since the last delivery."""
        if self._link is None:
            return False
        journal = self._run.journal_path
        size = journal.stat().st_size if journal.exists() else 0
        return not self._run.path.exists() or size < self._link.delivered

    def _end_removed(self) -> None:
        """End the MLflow run of a directory that was removed: nobody else would.

        Raises:
            DeliveryError: Always.
        """
        link = self._known_link
        reason = f"{self._run.path} was removed while the run was going on"
        if link.run_id:
            self._connect(link.tracking_uri)
            self._call(self._store.set_tag, link.run_id, _FAILURE_TAG, reason)
            self._call(self._store.set_terminated, link.run_id, status="FAILED")
            self._link = dataclasses.replace(link, run_id="")
        raise DeliveryError(reason)


def is_delivered(run: RunDirectory) -> bool:
    """Return whether MLflow has all that a run log holds, or the run is not tracked."""
    link = read_link(run.tracking_path)
    if link is None:
        return True
    if link.refused or not link.run_id:
        return False
    return not read_news(run, start=link.delivered).events


def deliver_rest(run: RunDirectory, *, seconds: float | None = PATIENCE_SECONDS) -> str | None:
    """Deliver what is left, now; return None, or in a line why it is left for later.

    Args:
        run: The run directory.
        seconds: Longest wait; None waits until everything is delivered or the store fails.
    """
    try:
        reason = call_within(seconds, lambda: Mirror(run).deliver(retries_refused=True))
    except (DeliveryError, TimeoutError) as error:
        return str(error)
    return None if reason is None else str(reason)


def _artifact_location(link: Link) -> str | None:
    """Return where a new experiment in a SQLite file keeps its artifacts: beside the file.

    MLflow would take the working directory, which is another one for `sync`, and would read
    a `?`, `#` or `%` in its path as parts of a URI.
    """
    database = sqlite_path(link.tracking_uri)
    if database is None:
        return None
    return (database.parent / "mlruns" / secrets.token_hex(9)).as_uri()


def _has_code(error: Exception, code: int) -> bool:
    return isinstance(error, MlflowException) and error.error_code == ErrorCode.Name(code)
