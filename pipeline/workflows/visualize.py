"""Draws a run from its directory: figures, advice on speed, and the report; no model needed."""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.near_names import did_you_mean_path
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import effective_events, read_events, read_last_status
from pipeline.evaluation.speed_advice import recommendations, save_recommendations
from pipeline.figures.base.spec import FigureSpec, Unavailable
from pipeline.figures.base.style import SCREEN, Style
from pipeline.figures.gallery import Gallery, attention_figures, draw_gallery, training_figures
from pipeline.records.attention import read_attention
from pipeline.records.epochs import epoch_records
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.lr_logs import LEARNING_RATE_FILE, LearningRateLogs, learning_rate_content
from pipeline.records.manifest import check_files
from pipeline.records.metrics_history import HISTORY_FILE, MetricsHistory, history_content
from pipeline.records.predictions import read_predictions
from pipeline.records.summary import read_summary
from pipeline.records.time_logs import TIME_FILE, TimeLogs, time_content, write_time_logs
from pipeline.records.typed_json import check_content, read_record
from pipeline.report.images import MEDIA_TYPES, TIME_FOLDER, Image, MissingImage
from pipeline.report.loading import load_records
from pipeline.report.page import write_page

FIGURE_FOLDERS: Final = ("training_visualizations", "attention_visualizations", TIME_FOLDER)
"""Folders of a run directory that hold figures."""

_TOLD_BY_RECORDS: Final = frozenset({"config", "num_train_clips"})
"""Inputs whose files the records of the report read too, and name where they are damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Illustration:
    """What was drawn of a run, and what could not be."""

    gallery: Gallery
    report_path: Path
    problems: tuple[str, ...]
    """What is missing or damaged, one line each; empty for a whole run."""


def open_drawable(path: Path) -> RunDirectory:
    """Return a run directory, or a part of one, of which something may be drawn.

    Raises:
        RunError: If there is nothing of a run in it.
    """
    run = RunDirectory(path.resolve())
    known = (
        *(run.run_log_path, run.config_path, run.metrics_dir, run.evaluation_path),
        run.study_path,
    )
    if not any(part.exists() for part in known):
        raise RunError(
            f"{path}: holds nothing of a run. Give a directory that `train` has written, or "
            f"the artifacts of a run.{did_you_mean_path(path)}"
        )
    return run


def figure_specs() -> dict[str, FigureSpec]:
    """Return every figure of a run, by name and in order."""
    return {**training_figures(), **attention_figures()}


def read_inputs(run: RunDirectory) -> dict[str, Any]:
    """Return what figures are drawn from, by name.

    A log that is missing or damaged is rebuilt from the run log.
    """
    config = _config(run)
    inputs: dict[str, Any] = {}
    for name, file, form, rebuild in (
        ("history", HISTORY_FILE, MetricsHistory, history_content),
        ("time_logs", TIME_FILE, TimeLogs, time_content),
        ("lr_logs", LEARNING_RATE_FILE, LearningRateLogs, learning_rate_content),
    ):
        inputs[name] = _attempt(functools.partial(_read_log, run, file, form, rebuild))
    inputs["evaluation"] = _optional(run, run.evaluation_path, read_report)
    inputs["attention"] = _optional(run, run.attention_path, read_attention)
    inputs["attention_history"] = _attempt(lambda: _attention_history(run))
    inputs["num_train_clips"] = _attempt(lambda: _num_train_clips(run))
    inputs["config"] = config
    return inputs | _scores(run, inputs["evaluation"])


def illustrate(
    run: RunDirectory,
    *,
    formats: tuple[str, ...] = ("png",),
    style: Style = SCREEN,
    callback_seconds: Mapping[str, float] | None = None,
) -> Illustration:
    """Draw everything that the directory of a run allows, and write its report.

    Args:
        run: Directory of a run, or the artifacts of one in one directory.
        formats: Formats of the figures: png, svg, pdf; of a training png besides where the
            report could show none of them.
        style: Style of the figures.
        callback_seconds: What the ends of the epochs cost, from a training that has just
            ended; it is added to the time log, with what drawing costs now.

    Raises:
        PipelineError: If a format is unknown.
    """
    with contextlib.ExitStack() as stack:
        # A training that draws its own figures holds the run already.
        with contextlib.suppress(RunError):
            stack.enter_context(run.locked())
        return _illustrate(run, formats, style, callback_seconds)


def _illustrate(
    run: RunDirectory,
    formats: tuple[str, ...],
    style: Style,
    callback_seconds: Mapping[str, float] | None,
) -> Illustration:
    began = time.perf_counter()
    if not MEDIA_TYPES.keys() & set(formats):
        formats = (*formats, "png")  # for the report: a browser shows no other
    inputs = {name: _placed(run, value) for name, value in read_inputs(run).items()}
    specs = figure_specs()
    of_time = {name: spec for name, spec in specs.items() if spec.folder == TIME_FOLDER}
    others = {name: spec for name, spec in specs.items() if name not in of_time}
    gallery = draw_gallery(others, inputs, run.path, formats=formats, style=style)
    time_logs = inputs["time_logs"]
    if callback_seconds is not None and isinstance(time_logs, TimeLogs):
        drawing = time.perf_counter() - began
        breakdown = {**time_logs.parts(), **callback_seconds, "figures": drawing}
        inputs["time_logs"] = dataclasses.replace(time_logs, breakdown=breakdown)
        write_time_logs(run.path / TIME_FILE, inputs["time_logs"])
    advice_problem = _write_advice(run, inputs)
    timing = draw_gallery(of_time, inputs, run.path, formats=formats, style=style)
    gallery = Gallery(drawn=gallery.drawn + timing.drawn, omitted=gallery.omitted + timing.omitted)
    damaged = [
        value.reason
        for name, value in inputs.items()
        if isinstance(value, Unavailable) and name not in _TOLD_BY_RECORDS
    ]
    faults = [f"{figure.spec.name}: {figure.reason}" for figure in gallery.faults]
    status = _placed(run, _attempt(lambda: read_last_status(run)))
    if isinstance(status, Unavailable):
        damaged.append(status.reason)
    records = load_records(run, status=status if isinstance(status, str) else None)
    problems = dict.fromkeys([*damaged, *advice_problem, *records.problems])
    write_page(
        run.report_path,
        records,
        images=_images(gallery),
        missing_images=[
            MissingImage(
                folder=figure.spec.folder,
                title=figure.spec.title,
                reason=figure.reason,
                is_fault=figure.is_fault,
            )
            for figure in gallery.omitted
        ],
        problems=[*damaged, *advice_problem],
    )
    return Illustration(gallery=gallery, report_path=run.report_path, problems=(*problems, *faults))


def has_trained(run: RunDirectory) -> bool:
    """Return whether a directory holds records of a training run, not only of a search."""
    records = (run.metrics_dir, run.time_dir, run.evaluation_path, run.attention_path)
    return any(path.exists() for path in records)


def _read_log(
    run: RunDirectory, file: str, form: type[Any], rebuild: Callable[..., dict[str, Any]]
) -> Any:
    """Read a log; rebuild it from the run log if it is missing or damaged."""
    try:
        check_files(run, run.path / file)
        return read_record(form, run.path / file)
    except PipelineError:
        if not run.run_log_path.exists():
            raise
        epochs = epoch_records(effective_events(read_events(run.run_log_path)))
        if not epochs:
            raise
        return check_content(form, rebuild(epochs))


def _scores(run: RunDirectory, evaluation: Any) -> dict[str, Any]:
    """Return truth and prediction of the split that was evaluated last."""
    split = evaluation.split if isinstance(evaluation, EvaluationReport) else "validation"
    predictions = _optional(run, run.predictions_path(split), read_predictions)
    if predictions is None or isinstance(predictions, Unavailable):
        return {"y_true": predictions, "y_pred": predictions}
    return {"y_true": predictions.y_true, "y_pred": predictions.y_pred, "split": split}


def _attention_history(run: RunDirectory) -> Any:
    events = effective_events(read_events(run.run_log_path))
    if not events and run.run_log_path.exists():
        raise RunError(f"{run.run_log_path}: is empty. Restore it from a backup.")
    return [event.content for event in events if event.kind == "attention"] or None


def _num_train_clips(run: RunDirectory) -> int | None:
    if not run.summary_path.exists():
        return None
    check_files(run, run.summary_path)
    return read_summary(run.summary_path).num_clips["train"]


def _config(run: RunDirectory) -> Any:
    return _optional(run, run.config_path, read_yaml_mapping)


def _write_advice(run: RunDirectory, inputs: Mapping[str, Any]) -> list[str]:
    needed = [inputs[name] for name in ("time_logs", "history", "config")]
    if any(value is None or isinstance(value, Unavailable) for value in needed):
        return []
    num_train_clips = inputs["num_train_clips"]
    try:
        found = recommendations(
            *needed, num_train_clips=num_train_clips if isinstance(num_train_clips, int) else None
        )
    except PipelineError as error:
        return [str(error)]
    save_recommendations(run.path / TIME_FOLDER, found)
    return []


def _images(gallery: Gallery) -> list[Image]:
    """Return the figures that a browser can show."""
    images = []
    for figure in gallery.drawn:
        shown = [path for path in figure.paths if path.suffix[1:] in MEDIA_TYPES]
        if shown:
            images.append(
                Image(
                    folder=figure.spec.folder,
                    title=figure.spec.title,
                    caption=figure.spec.caption,
                    alt_text=figure.alt_text,
                    media_type=MEDIA_TYPES[shown[0].suffix[1:]],
                    data=shown[0].read_bytes(),
                )
            )
    return images


def _placed(run: RunDirectory, value: Any) -> Any:
    """Return an input; the reason that it cannot be read names files from the run directory on."""
    if not isinstance(value, Unavailable):
        return value
    return Unavailable(reason=value.reason.replace(f"{run.path}{os.sep}", ""))


def _optional(run: RunDirectory, path: Path, read: Callable[[Path], Any]) -> Any:
    def read_checked() -> Any:
        check_files(run, path)
        return read(path)

    return _attempt(read_checked) if path.exists() else None


def _attempt(read: Callable[[], Any]) -> Any:
    """Return what `read` returns, or why it cannot."""
    try:
        return read()
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return Unavailable(reason=" ".join(str(error).split()))
