"""Send run-log events to an MLflow run. Each kind of event has its own MLflow call."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

from pipeline.core.errors import first_line
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import (
    ARTIFACTS,
    DATASET,
    FINISHED,
    MODEL,
    PARAMS,
    RESUMED,
    TAGS,
    Event,
    effective_events,
    read_events,
)
from pipeline.tracking import mlflow_entities
from pipeline.tracking.delivery import DeliveryError, StoreUnavailableError
from pipeline.tracking.log_model import find_model, log_model
from pipeline.tracking.run_link import Link
from pipeline.tracking.store import (
    STORE_ERRORS,
    call_store,
    has_code,
)

FAILURE_TAG = "failure"

_BATCH_SIZES = {"metrics": 1000, "params": 100, "tags": 100}
_MAX_LINKS = 100
"""Maximum number of points per call that MLflow can receive a second time with links to a model."""
_MAX_REJECTED = 50
"""If MLflow rejects this number of items in a batch and accepts none, the delivery ends."""


class EventSender:
    """Class that sends events to one MLflow run, and lists the items that the store rejects.

    `on_rejection` is called with each rejected item and the reason of its rejection.
    """

    def __init__(
        self,
        run: RunDirectory,
        client: MlflowClient,
        link: Link,
        *,
        on_rejection: Callable[[str, str], None],
    ) -> None:
        self.rejected = dict(link.refused)
        """Offset of the event in the run log -> rejected item and reason."""
        self._run = run
        self._client = client
        self._run_id = link.run_id
        self._step_stride = link.step_stride
        self._on_rejection = on_rejection
        self._senders: dict[str, Callable[[Event], None]] = {
            PARAMS: self._send_params,
            TAGS: self._send_tags,
            DATASET: self._send_dataset,
            RESUMED: self._send_resumed,
            FINISHED: self._send_finished,
            ARTIFACTS: self._send_artifacts,
            MODEL: self._send_model,
        }

    def send(self, events: Sequence[Event]) -> None:
        """Send events in the given order. Metrics of consecutive events are sent in one batch.

        Raises:
            StoreUnavailableError: If the store does not answer.
            DeliveryError: If the MLflow run does not exist or was deleted, or the store denies
                permission for a batch, or rejects too many items of a batch, see `_MAX_REJECTED`.
        """
        points: list[tuple[Event, Any]] = []
        for event in events:
            if event.kind in self._senders:
                self._log_metrics(points)
                points = []
                self._senders[event.kind](event)
            else:
                metrics = mlflow_entities.metrics(event, step_stride=self._step_stride)
                points += [(event, metric) for metric in metrics]
        self._log_metrics(points)
        scored = [event for event in events if mlflow_entities.model_scores(event, None, "")]
        if scored:
            self._link_scores(start=scored[0].start, end=scored[-1].end)

    def _send_params(self, event: Event) -> None:
        known = call_store(self._client.get_run, self._run_id).data.params
        given = {name for name, value in known.items() if value}
        # `mlflow run` has logged each option. An option such as `features_dir` sets the setting
        # `data.features_dir`, which is not logged again.
        params = [
            param
            for param in mlflow_entities.params(event)
            if param.key not in known and param.key.removeprefix("data.") not in given
        ]
        self._log("params", [(event, param) for param in params])

    def _send_tags(self, event: Event) -> None:
        self._log("tags", [(event, tag) for tag in mlflow_entities.tags(event)])

    def _send_dataset(self, event: Event) -> None:
        datasets = mlflow_entities.dataset_inputs(event)
        self._attempt(event, "the data set", self._client.log_inputs, datasets)

    def _send_artifacts(self, event: Event) -> None:
        for name in event.content["paths"]:
            path = self._run.path / name
            if path.is_dir():
                self._attempt(event, name, self._client.log_artifacts, str(path), name)
            elif path.exists():
                folder = Path(name).parent.as_posix()
                target = None if folder == "." else folder
                self._attempt(event, name, self._client.log_artifact, str(path), target)

    def _send_model(self, event: Event) -> None:
        log = functools.partial(log_model, self._run)
        name, alias = event.content["registered_model"], event.content.get("alias", "")
        self._attempt(event, "the model", log, registered_name=name, alias=alias)
        self._link_scores(start=0, end=event.start)

    def _link_scores(self, *, start: int, end: int) -> None:
        """Link scores of the saved model to the model and to their data set.

        The scores are those in the part of the run log from byte `start` to byte `end`. MLflow
        stores a point that is sent again only once, but adds the link.
        """
        model_id = call_store(find_model, self._client, self._run_id)
        if model_id is None:
            return
        dataset = None
        for each in effective_events(read_events(self._run.run_log_path)):
            dataset = each if each.kind == DATASET else dataset
            scores = mlflow_entities.model_scores(each, dataset, model_id)
            if not start <= each.start < end:
                continue
            for first in range(0, len(scores), _MAX_LINKS):
                batch = scores[first : first + _MAX_LINKS]
                self._attempt(each, "the link to the model", self._client.log_batch, batch)

    def _send_resumed(self, event: Event) -> None:
        # A rejection is ignored, because the status is sent again at the end of the run.
        self._try(self._client.update_run, status="RUNNING")
        if FAILURE_TAG in call_store(self._client.get_run, self._run_id).data.tags:
            self._attempt(event, FAILURE_TAG, self._client.delete_tag, FAILURE_TAG)

    def _send_finished(self, event: Event) -> None:
        if reason := event.content.get("reason"):
            self._attempt(event, FAILURE_TAG, self._client.set_tag, FAILURE_TAG, reason)
        status = event.content["status"]
        self._attempt(event, "the status", self._client.set_terminated, status, event.time_ms)

    def _log_metrics(self, points: Sequence[tuple[Event, Any]]) -> None:
        # MLflow lists the metrics of a run in the order in which they were first logged.
        self._log("metrics", sorted(points, key=lambda point: str(point[1].key)))

    def _log(self, kind: str, items: Sequence[tuple[Event, Any]]) -> None:
        size = _BATCH_SIZES[kind]
        for start in range(0, len(items), size):
            self._log_batch(kind, items[start : start + size])

    def _log_batch(self, kind: str, items: Sequence[tuple[Event, Any]]) -> None:
        """Send items in one call. If the store rejects a batch, send each half again."""
        parts, num_accepted, num_rejected = [items], 0, 0
        while parts:
            part = parts.pop()
            batch = [item for _, item in part]
            error = self._try(self._client.log_batch, **{kind: batch})
            if error is None:
                num_accepted += len(part)
            elif has_code(error, PERMISSION_DENIED) or (
                num_rejected >= _MAX_REJECTED and not num_accepted
            ):
                raise DeliveryError(first_line(error)) from error
            elif len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
            else:
                num_rejected += 1
                event, item = part[0]
                self._reject(event, item.key, error)

    def _attempt(
        self, event: Event, item: str, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        error = self._try(function, *args, **kwargs)
        if error is not None:
            self._reject(event, item, error)

    def _reject(self, event: Event, item: str, error: Exception) -> None:
        reason = first_line(error)
        self.rejected[str(event.start)] = f"{item} ({reason})"
        self._on_rejection(item, reason)

    def _try(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Exception | None:
        """Call a function with the run id. Return None, or the error if the store rejects the call.

        An error counts as a rejection if the store answers and the MLflow run still exists.
        """
        try:
            function(self._run_id, *args, **kwargs)
        except Exception as error:  # libraries for cloud storage have their own error classes
            self._check_run(error)
            return error
        return None

    def _check_run(self, cause: Exception) -> None:
        try:
            stage = self._client.get_run(self._run_id).info.lifecycle_stage
        except STORE_ERRORS as error:
            if has_code(error, RESOURCE_DOES_NOT_EXIST):
                raise DeliveryError(
                    f"{self._run.tracking_path}: the MLflow run {self._run_id} does not exist"
                ) from cause
            raise StoreUnavailableError(first_line(cause)) from cause
        if stage == LifecycleStage.DELETED:
            raise DeliveryError(
                f"the MLflow run {self._run_id} was deleted; restore it with "
                f"`mlflow runs restore --run-id {self._run_id}`"
            ) from cause
