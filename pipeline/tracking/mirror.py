"""Deliver the run log of a run directory to MLflow.

The run log is the source of truth. The mirror sends new events in batches, and writes the number
of delivered bytes to `mlflow.json`. If the MLflow store does not answer, training continues. The
remaining events are sent when the store answers again, at the end of the run, or by the command
`sync`. Items that the store rejects are listed in `mlflow.json`, and `sync` sends these items
again. The time of an event is read from the run log, so an event that is sent twice has the same
time in both copies. Therefore MLflow stores it only once.
"""

import contextlib
import dataclasses
import logging
import secrets
import uuid
from collections.abc import Sequence

import filelock
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from pipeline.core.errors import PipelineError, first_line
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import (
    ARTIFACTS,
    CHECKPOINT,
    EPOCH,
    FINISHED,
    MODEL,
    RESUMED,
    SYSTEM_METRICS,
    Event,
    effective_events,
    read_events,
)
from pipeline.core.urls import sqlite_path
from pipeline.tracking.delivery import PATIENCE_SECONDS, DeliveryError, StoreUnavailableError
from pipeline.tracking.descriptions import EXPERIMENT
from pipeline.tracking.mlflow_settings import configure_mlflow
from pipeline.tracking.run_link import Link, note_link, read_link, with_logged_run, write_link
from pipeline.tracking.send_events import FAILURE_TAG, EventSender
from pipeline.tracking.store import (
    STORE_ERRORS,
    call_store,
    call_within,
    has_code,
    open_store,
    with_password,
)

_logger = logging.getLogger(__name__)

_RUN_KEY_TAG = "run_key"
_FILE_KINDS = (ARTIFACTS, MODEL)


class Mirror:
    """Mirror of one run directory in an MLflow run. `mlflow.json` contains the MLflow run id.

    If `warns` is true and MLflow rejects items, the mirror logs one warning per distinct reason.
    """

    def __init__(self, run: RunDirectory, *, warns: bool = False) -> None:
        self._run = run
        self._warns = warns
        self._warned: set[str] = set()
        self._client: MlflowClient | None = None
        self._link: Link | None = None

    def deliver(self, *, retries_rejected: bool = False) -> str | None:
        """Send the new events of this run and of its nested runs.

        If `retries_rejected` is true, rejected events are sent again.

        Returns:
            One line about rejected items, or None if MLflow accepted all items.

        Raises:
            DeliveryError: If events cannot be delivered now.
        """
        rejected = self.deliver_own(retries_rejected=retries_rejected)
        failure = None
        for nested in self._run.nested():
            try:
                reason = Mirror(nested).deliver_own(retries_rejected=retries_rejected)
            except StoreUnavailableError:
                raise
            except DeliveryError as error:  # the other nested runs are still sent
                failure = failure or error
            else:
                rejected = rejected or reason
        if failure:
            raise failure
        return rejected

    def deliver_own(self, *, retries_rejected: bool = False) -> str | None:
        """Send the new events of this run, but not of its nested runs. See `deliver`."""
        self._check_not_removed()
        try:
            if is_delivered(self._run):  # no lock: a read-only directory cannot be locked
                return None
            # The mirrors of a run and of its nested runs may deliver the same run at the same
            # time. Without the lock, they would create two MLflow runs.
            with filelock.FileLock(self._run.path / ".delivery.lock"):
                return self._deliver_locked(retries_rejected=retries_rejected)
        except DeliveryError:
            self._client = None
            raise
        except (OSError, PipelineError) as error:  # a local error, not an outage of the store
            raise DeliveryError(first_line(error)) from error

    def _deliver_locked(self, *, retries_rejected: bool) -> str | None:
        link = read_link(self._run.tracking_path)
        if link is None:
            return None
        if self._link is None:
            link = with_logged_run(self._run.tracking_path, link)
        self._link = link
        events, _ = read_pending_events(self._run, start=link.delivered)
        if events or not link.run_id or (retries_rejected and link.refused):
            client = self._connect(link.tracking_uri)
            self._link = link = self._with_run(client, link)
            if not link.delivered and not link.parent_dir:
                _describe_experiment(client, link.run_id)
            # The events are read again, because the new link was added to the run log.
            events, end = read_pending_events(self._run, start=link.delivered)
            sender = EventSender(self._run, client, link, on_rejection=self._handle_rejection)
            link = self._send(sender, link, events, end=end)
            if retries_rejected:
                link = self._send_rejected(sender, link)
        if not link.refused:
            return None
        first, *others = link.refused.values()
        return f"MLflow rejected {first}" + (f", and {len(others)} more" if others else "")

    def _connect(self, uri: str) -> MlflowClient:
        if self._client is None:
            configure_mlflow()
            self._client = call_store(lambda: open_store(with_password(uri)))
        return self._client

    def _with_run(self, client: MlflowClient, link: Link) -> Link:
        """Create the MLflow run if the link has no run id, and return the link with the id."""
        if link.run_id:
            return link
        experiment_id, tags = self._experiment_and_tags(client, link)
        run_id = ""
        if link.run_key:  # an earlier call may have created the run, but its reply was lost
            found = call_store(
                client.search_runs,
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
            created = call_store(
                client.create_run, experiment_id, run_name=link.run_name, tags=tags
            )
            run_id = created.info.run_id
        if not run_id:  # for instance, a proxy answered with an empty page
            raise StoreUnavailableError(f"{link.tracking_uri} does not answer like MLflow")
        link = dataclasses.replace(link, run_id=run_id)
        note_link(self._run.tracking_path, link)
        return link

    def _experiment_and_tags(self, client: MlflowClient, link: Link) -> tuple[str, dict[str, str]]:
        """Return the experiment id and the tags of a new run.

        The tags contain the id of the parent run. They are empty for a run without a parent.
        """
        if not link.parent_dir:
            return link.experiment_id or _find_or_create_experiment(client, link), {}
        parent = RunDirectory((self._run.path / link.parent_dir).resolve())
        Mirror(parent).deliver_own()
        parent_link = read_link(parent.tracking_path)
        if parent_link is None:
            # If a search joins an existing study, `mlflow.json` of the study's run is written only
            # after the search starts, so the file may not exist yet.
            raise StoreUnavailableError(f"{parent.path} has no MLflow run yet")
        parent_run = call_store(client.get_run, parent_link.run_id)
        return parent_run.info.experiment_id, {MLFLOW_PARENT_RUN_ID: parent_link.run_id}

    def _send(self, sender: EventSender, link: Link, events: Sequence[Event], *, end: int) -> Link:
        """Send events. Files are sent last, because an upload would delay the other events."""
        files = [event for event in events if event.kind in _FILE_KINDS]
        sender.send([event for event in events if event.kind not in _FILE_KINDS])
        ends = [event.start for event in files] + [end]
        link = self._note(sender, link, min(ends[0], end))
        for event, following in zip(files, ends[1:], strict=True):
            sender.send([event])
            link = self._note(sender, link, min(following, end))
        return link

    def _send_rejected(self, sender: EventSender, link: Link) -> Link:
        """Send rejected events again, except superseded events."""
        events = effective_events(read_events(self._run.run_log_path))
        for start in list(link.refused):
            del sender.rejected[start]
            sender.send([event for event in events if str(event.start) == start])
            # `mlflow.json` changes only after the upload. If the process is killed during the
            # upload, the event is still listed as rejected, and `sync` sends it again.
            link = self._note(sender, link, link.delivered)
        return link

    def _note(self, sender: EventSender, link: Link, delivered: int) -> Link:
        """Store in `mlflow.json` that the run log is delivered up to byte `delivered`."""
        delivered = max(link.delivered, delivered)
        link = dataclasses.replace(link, delivered=delivered, refused=dict(sender.rejected))
        write_link(self._run.tracking_path, link)
        self._link = link
        return link

    def _handle_rejection(self, item: str, reason: str) -> None:
        self._check_not_removed()
        if self._warns and reason not in self._warned:
            self._warned.add(reason)
            _logger.warning(
                "MLflow rejected %s of %s (%s). The delivery continues with the next item.",
                item,
                self._run.path.name,
                reason,
            )

    def _check_not_removed(self) -> None:
        """Check that the run directory exists. If it was removed, end its MLflow run as FAILED.

        Raises:
            DeliveryError: If the directory was removed.
        """
        if self._link is None:
            return
        run_log = self._run.run_log_path
        size = run_log.stat().st_size if run_log.exists() else 0
        if self._run.path.exists() and size >= self._link.delivered:
            return
        reason = f"{self._run.path} was removed while the run was going on"
        if run_id := self._link.run_id:
            client = self._connect(self._link.tracking_uri)
            call_store(client.set_tag, run_id, FAILURE_TAG, reason)
            call_store(client.set_terminated, run_id, status="FAILED")
            self._link = dataclasses.replace(self._link, run_id="")
        raise DeliveryError(reason)


def read_pending_events(run: RunDirectory, *, start: int) -> tuple[list[Event], int]:
    """Read the events after byte `start` that a resumed run cannot supersede.

    A resumed run continues from the last checkpoint, and logs the events after this checkpoint
    again with other times. Therefore epochs and the events after a checkpoint are delivered only
    when the run log contains the next checkpoint, a resumption, or the end of the run. If a run
    ends as FAILED or KILLED, its status is delivered, and of the waiting events only the system
    metrics. The other events still wait, because a resumed run may log these events again.

    Returns:
        The events, and the value of `start` for the next call.
    """
    final: list[Event] = []
    waiting: list[Event] = []
    waiting_from: int | None = None  # offset of the last checkpoint, or of the first waiting epoch
    has_ended = False
    end = start
    for event in read_events(run.run_log_path, start=start):
        end = event.end
        if event.kind == FINISHED:
            is_finished = event.content["status"] == "FINISHED"
            final += [each for each in waiting if is_finished or each.kind == SYSTEM_METRICS]
            final.append(event)
            waiting = [each for each in waiting if not is_finished and each.kind != SYSTEM_METRICS]
            waiting_from = waiting_from if waiting else None
            has_ended = True
        elif event.kind in (CHECKPOINT, RESUMED):
            final += waiting
            waiting = []
            if event.kind == RESUMED:
                final.append(event)
            waiting_from = event.start if event.content["epoch"] else None
            has_ended = False
        elif event.kind == EPOCH or (waiting_from is not None and not has_ended):
            waiting.append(event)
            waiting_from = event.start if waiting_from is None else waiting_from
        else:
            final.append(event)
    return effective_events(final), end if waiting_from is None else waiting_from


def is_delivered(run: RunDirectory) -> bool:
    """Return True if MLflow has the whole run log, or if the run is not tracked."""
    link = read_link(run.tracking_path)
    if link is None:
        return True
    if link.refused or not link.run_id:
        return False
    events, _ = read_pending_events(run, start=link.delivered)
    return not events


def deliver_rest(run: RunDirectory, *, seconds: float | None = PATIENCE_SECONDS) -> str | None:
    """Deliver the remaining events of a run. Return None, or the reason why events are missing.

    `seconds` is the maximum wait; None means no limit.
    """
    try:
        return call_within(seconds, lambda: Mirror(run).deliver(retries_rejected=True))
    except (DeliveryError, TimeoutError) as error:
        return str(error)


def _describe_experiment(client: MlflowClient, run_id: str) -> None:
    """Describe the experiment of a run, unless it has a description or is MLflow's default.

    `mlflow run` creates experiments without a description.
    """
    with contextlib.suppress(*STORE_ERRORS):  # the description is not worth another attempt
        experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
        is_default = experiment.name == Experiment.DEFAULT_EXPERIMENT_NAME
        if not is_default and not experiment.tags.get(MLFLOW_RUN_NOTE):
            client.set_experiment_tag(experiment.experiment_id, MLFLOW_RUN_NOTE, EXPERIMENT)


def _find_or_create_experiment(client: MlflowClient, link: Link) -> str:
    experiment = call_store(client.get_experiment_by_name, link.experiment)
    if experiment is None:
        database = sqlite_path(link.tracking_uri)
        location = None
        if database is not None:
            # By default, MLflow writes artifacts to the working directory, but `sync` may run in
            # another directory. The path is given as a URI, because MLflow would interpret `?`, `#`
            # and `%` in a plain path as parts of a URI.
            location = (database.parent / "mlruns" / secrets.token_hex(9)).as_uri()
        try:
            return str(client.create_experiment(link.experiment, location))
        except STORE_ERRORS as error:
            if not has_code(error, RESOURCE_ALREADY_EXISTS):
                raise StoreUnavailableError(first_line(error)) from error
        # Another process has created the experiment.
        experiment = call_store(client.get_experiment_by_name, link.experiment)
    return str(experiment.experiment_id)
