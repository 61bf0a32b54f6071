"""Draw the figures of a run, and write the speed advice and the report. No model is needed."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pipeline.config.loading import load_run_config
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.near_names import did_you_mean_path
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import effective_events, read_events, read_last_status
from pipeline.core.traits import TRAITS
from pipeline.evaluation.speed_advice import recommendations, save_recommendations
from pipeline.figures.base.spec import Unavailable
from pipeline.figures.base.style import SCREEN, Style
from pipeline.figures.gallery import (
    Gallery,
    default_figures,
    draw_gallery,
    figure_specs,
)
from pipeline.figures.processes import DrawingProcesses
from pipeline.records.attention import read_attention
from pipeline.records.data_description import read_data
from pipeline.records.epochs import epoch_records
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.manifest import check_files
from pipeline.records.metrics_history import (
    HISTORY_FILE,
    LEARNING_RATE_FILE,
    LearningRateLogs,
    MetricsHistory,
    history_content,
    learning_rate_content,
)
from pipeline.records.predictions import Predictions, read_predictions
from pipeline.records.summary import Summary, read_summary
from pipeline.records.time_logs import TIME_FILE, TimeLogs, time_content, write_time_logs
from pipeline.records.typed_json import check_content, read_record
from pipeline.report.images import MEDIA_TYPES, TIME_FOLDER, Image, MissingImage
from pipeline.report.loading import load_records
from pipeline.report.page import write_page

DEFAULT_SPLIT: Final = "validation"
"""Split of the scores and predictions in figures and report."""

_CHECKED_BY_REPORT: Final = frozenset({"config", "num_train_clips", "best_epoch"})
"""Inputs that `load_records` also checks. Their problems are not listed a second time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visualization:
    """Figures and report of a run, and the problems that were found."""

    gallery: Gallery
    report_path: Path
    problems: tuple[str, ...]
    """Missing or damaged inputs, one line each."""


def open_drawable(path: Path) -> RunDirectory:
    """Open a run directory, or the downloaded artifacts of a run, to draw figures.

    Raises:
        RunError: If the directory contains no file of a run.
    """
    run = RunDirectory(path.resolve())
    files = (run.run_log_path, run.config_path, run.metrics_dir, run.evaluation_path)
    if not any(file.exists() for file in (*files, run.study_path)):
        raise RunError(
            f"{path}: contains no file of a run. Give a directory that `train` has written, or "
            f"the artifacts of a run.{did_you_mean_path(path)}"
        )
    return run


def has_trained(run: RunDirectory) -> bool:
    """Return True if a directory contains records of the training of a model."""
    records = (run.metrics_dir, run.time_dir, run.evaluation_path, run.attention_path)
    return any(path.exists() for path in records)


def read_inputs(run: RunDirectory, split: str = DEFAULT_SPLIT) -> dict[str, Any]:
    """Return the inputs of the figures by name.

    An unreadable input is `Unavailable`. A missing or damaged JSON log is rebuilt from the run log.
    The evaluation and the predictions are those of `split`. If no validation clips were evaluated,
    `validation` means the last evaluated split.

    Raises:
        RunError: If another `split` was not evaluated.
    """
    inputs: dict[str, Any] = {}
    for name, file, form, rebuild in (
        ("history", HISTORY_FILE, MetricsHistory, history_content),
        ("time_logs", TIME_FILE, TimeLogs, time_content),
        ("lr_logs", LEARNING_RATE_FILE, LearningRateLogs, learning_rate_content),
    ):
        inputs[name] = _try(partial(_read_log, run, file, form, rebuild))
    inputs["evaluation"] = _read_evaluation(run, split)
    inputs["attention"] = _read_if_exists(run, run.attention_path, read_attention)
    inputs["attention_history"] = _try(partial(_attention_history, run))
    summary = _read_if_exists(run, run.summary_path, read_summary)
    inputs["num_train_clips"] = inputs["best_epoch"] = summary
    if isinstance(summary, Summary):
        inputs["num_train_clips"] = summary.num_clips.get("train")
        inputs["best_epoch"] = summary.best_epoch
    inputs["config"] = _read_if_exists(run, run.config_path, load_run_config)
    evaluation = inputs["evaluation"]
    inputs["trait_names"] = _trait_names(run, evaluation)
    split = evaluation.split if isinstance(evaluation, EvaluationReport) else DEFAULT_SPLIT
    predictions = _read_if_exists(run, run.predictions_path(split), read_predictions)
    if isinstance(predictions, Predictions) and predictions.trait_names != inputs["trait_names"]:
        predictions = Unavailable(
            reason=f"{run.predictions_path(split)}: the traits are "
            f"{', '.join(predictions.trait_names)}, but the traits of the run are "
            f"{', '.join(inputs['trait_names'])}. Evaluate again."
        )
    if predictions is None or isinstance(predictions, Unavailable):
        return inputs | {"y_true": predictions, "y_pred": predictions}
    return inputs | {"y_true": predictions.y_true, "y_pred": predictions.y_pred, "split": split}


def _read_evaluation(run: RunDirectory, split: str) -> Any:
    evaluation = _read_if_exists(run, run.evaluation_path, read_report)
    if isinstance(evaluation, EvaluationReport) and evaluation.split != split:
        earlier = _read_if_exists(run, run.earlier_evaluation_path(split), read_report)
        evaluation = evaluation if earlier is None and split == DEFAULT_SPLIT else earlier
    if evaluation is None and split != DEFAULT_SPLIT:
        raise RunError(
            f"{run.path}: has no evaluation of the split {split}. Evaluate it first with "
            f"`python -m pipeline evaluate --run_dir {run.path} --split {split}`."
        )
    return evaluation


def visualize_run(
    run: RunDirectory,
    *,
    split: str = DEFAULT_SPLIT,
    draw_all: bool = False,
    formats: tuple[str, ...] = ("png",),
    style: Style = SCREEN,
    callback_seconds: Mapping[str, float] | None = None,
    processes: DrawingProcesses | None = None,
) -> Visualization:
    """Draw the figures whose data are available, and write the report.

    Args:
        run: A run directory, or the downloaded artifacts of a run.
        split: Split of the scores and predictions in figures and report; see `read_inputs`.
        draw_all: Whether to draw all figures, not only `DEFAULT_FIGURES`.
        formats: Figure formats: png, svg, pdf. If the report cannot show any of these formats, png
            is added.
        style: Style of the figures.
        callback_seconds: Kind of work, e.g. `checkpoint` -> seconds; None except at the end of
            training. These times and the drawing time are added to the time log.
        processes: Processes that draw figures too. By default, this function starts processes
            and ends them.

    Raises:
        PipelineError: If a format is unknown, or `split` was not evaluated.
    """
    with contextlib.ExitStack() as stack:
        # At the end of training, `locked` fails, because the training session holds the lock.
        with contextlib.suppress(RunError):
            stack.enter_context(run.locked())
        processes = processes or stack.enter_context(DrawingProcesses())
        processes.start()
        return _visualize(run, split, draw_all, formats, style, callback_seconds, processes)


def _visualize(
    run: RunDirectory,
    split: str,
    draw_all: bool,
    formats: tuple[str, ...],
    style: Style,
    callback_seconds: Mapping[str, float] | None,
    processes: DrawingProcesses,
) -> Visualization:
    began = time.perf_counter()
    if not MEDIA_TYPES.keys() & set(formats):
        formats = (*formats, "png")
    inputs = {
        name: _with_relative_paths(run, value) for name, value in read_inputs(run, split).items()
    }
    specs = figure_specs(inputs["trait_names"])
    specs = specs if draw_all else default_figures(specs)
    time_specs = {name: spec for name, spec in specs.items() if spec.folder == TIME_FOLDER}
    other_specs = {name: spec for name, spec in specs.items() if name not in time_specs}
    options: dict[str, Any] = {"formats": formats, "style": style, "processes": processes}
    gallery = draw_gallery(other_specs, inputs, run.path, **options)
    time_logs = inputs["time_logs"]
    if callback_seconds is not None and isinstance(time_logs, TimeLogs):
        drawing = time.perf_counter() - began
        breakdown = {**time_logs.parts(), **callback_seconds, "figures": drawing}
        inputs["time_logs"] = dataclasses.replace(time_logs, breakdown=breakdown)
        write_time_logs(run.path / TIME_FILE, inputs["time_logs"])
    _write_advice(run, inputs)
    timing = draw_gallery(time_specs, inputs, run.path, **options)
    gallery = Gallery(drawn=gallery.drawn + timing.drawn, omitted=gallery.omitted + timing.omitted)

    status = _with_relative_paths(run, _try(partial(read_last_status, run)))
    problems = [
        value.reason
        for name, value in [*inputs.items(), ("status", status)]
        if isinstance(value, Unavailable) and name not in _CHECKED_BY_REPORT
    ]
    records = load_records(
        run,
        status=status if isinstance(status, str) else None,
        split=split,
    )
    write_page(
        run.report_path,
        records,
        images=_report_images(gallery),
        missing_images=[
            MissingImage(
                folder=figure.spec.folder,
                title=figure.spec.title,
                reason=figure.reason,
                is_fault=figure.is_fault,
            )
            for figure in gallery.omitted
        ],
        problems=problems,
    )
    faults = [f"{figure.spec.name}: {figure.reason}" for figure in gallery.faults]
    return Visualization(
        gallery=gallery,
        report_path=run.report_path,
        problems=(*dict.fromkeys([*problems, *records.problems]), *faults),
    )


def _trait_names(run: RunDirectory, evaluation: Any) -> tuple[str, ...]:
    """Return the names of the traits of a run, or the OCEAN traits if no file has the names."""
    # `load_records` reports a damaged `data.json`.
    data = _read_if_exists(run, run.data_path, read_data)
    known = next((each for each in (data, evaluation) if hasattr(each, "trait_names")), None)
    return TRAITS if known is None else known.trait_names


def _read_log(
    run: RunDirectory, file: str, form: type[Any], rebuild: Callable[..., dict[str, Any]]
) -> Any:
    """Read a JSON log. If the file is missing or damaged, rebuild it from the run log."""
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


def _attention_history(run: RunDirectory) -> Any:
    events = effective_events(read_events(run.run_log_path))
    if not events and run.run_log_path.exists():
        raise RunError(f"{run.run_log_path}: is empty. Restore it from a backup.")
    return [event.content for event in events if event.kind == "attention"] or None


def _write_advice(run: RunDirectory, inputs: Mapping[str, Any]) -> None:
    """Write the speed advice if the time logs, the history and the configuration are available."""
    needed = [inputs[name] for name in ("time_logs", "history", "config")]
    if any(value is None or isinstance(value, Unavailable) for value in needed):
        return
    num_train_clips = inputs["num_train_clips"]
    found = recommendations(
        *needed, num_train_clips=num_train_clips if isinstance(num_train_clips, int) else None
    )
    save_recommendations(run.path / TIME_FOLDER, found)


def _report_images(gallery: Gallery) -> list[Image]:
    """Return the figures in a format that browsers support."""
    images = []
    for figure in gallery.drawn:
        path = next(path for path in figure.paths if path.suffix[1:] in MEDIA_TYPES)
        image = Image(
            name=figure.spec.name,
            folder=figure.spec.folder,
            title=figure.spec.title,
            caption=figure.spec.caption,
            alt_text=figure.alt_text,
            media_type=MEDIA_TYPES[path.suffix[1:]],
            data=path.read_bytes(),
        )
        images.append(image)
    return images


def _with_relative_paths(run: RunDirectory, value: Any) -> Any:
    """Return an input. If it is `Unavailable`, paths in its reason are relative to the run."""
    if not isinstance(value, Unavailable):
        return value
    return Unavailable(reason=value.reason.replace(f"{run.path}{os.sep}", ""))


def _read_if_exists(run: RunDirectory, path: Path, read: Callable[[Path], Any]) -> Any:
    def read_checked() -> Any:
        check_files(run, path)
        return read(path)

    return _try(read_checked) if path.exists() else None


def _try(read: Callable[[], Any]) -> Any:
    """Return the result of `read`, or `Unavailable` with the reason."""
    try:
        return read()
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        return Unavailable(reason=" ".join(str(error).split()))
