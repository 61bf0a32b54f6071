"""Draws a run from its directory: figures, advice on speed, and the report; no model needed."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.attention_record import read_attention
from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import read_json, read_object, write_json
from pipeline.core.journal import effective_events, read_events
from pipeline.core.manifest import check_files
from pipeline.core.near_names import did_you_mean_path
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_status import read_last_status
from pipeline.evaluation.predictions import read_predictions
from pipeline.evaluation.recommendations import recommendations, save_recommendations
from pipeline.figures.attention import attention_figures
from pipeline.figures.gallery import Gallery, draw_gallery, training_figures
from pipeline.figures.spec import FigureSpec, Unavailable
from pipeline.figures.style import SCREEN, Style
from pipeline.figures.times import time_parts
from pipeline.report.content import report_content
from pipeline.report.html import write_html
from pipeline.report.loading import load_records
from pipeline.report.pictures import MEDIA_TYPES, TIME_FOLDER, MissingPicture, Picture
from pipeline.training.logs import learning_rate_log, performance_log, time_log
from pipeline.training.records import epoch_records
from pipeline.workflows.search_illustration import (
    illustrate_search,
    is_search,
    search_problems,
)

FIGURE_FOLDERS: Final = ("training_visualizations", "attention_visualizations", TIME_FOLDER)
"""Folders of a run directory that hold figures."""

_TOLD_BY_RECORDS: Final = frozenset({"config", "num_train_clips"})
"""Inputs whose files the records of the report read too, and name where they are damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Illustration:
    """What was drawn of a run, and what could not be."""

    gallery: Gallery
    report_path: Path | None
    """The report; None for a search, which has not trained by itself."""
    problems: tuple[str, ...]
    """What is missing or damaged, one line each; empty for a whole run."""


def illustrate(
    run: RunDirectory,
    *,
    formats: tuple[str, ...] = ("png",),
    style: Style = SCREEN,
    callback_seconds: Mapping[str, float] | None = None,
) -> Illustration:
    """Draw everything that the directory of a run allows, and write its report.

    A search that has not trained by itself has figures, and no report.

    Args:
        run: Directory of a run or of a search, or the artifacts of one in one directory.
        formats: Formats of the figures: png, svg, pdf; of a training png besides where the
            report could show none of them.
        style: Style of the figures.
        callback_seconds: What the ends of the epochs cost, from a training that has just
            ended; it is added to the time log, with what drawing costs now.

    Raises:
        PipelineError: If a format is unknown.
    """
    with contextlib.ExitStack() as stack:
        # A training run that draws its own figures holds the lock already.
        with contextlib.suppress(RunError):
            stack.enter_context(run.locked())
        return _illustrate(run, formats, style, callback_seconds)


def open_drawable(path: Path) -> RunDirectory:
    """Return a run directory, or a part of one, of which something may be drawn.

    Raises:
        RunError: If there is nothing of a run in it.
    """
    run = RunDirectory(path.resolve())
    known = (
        *(run.journal_path, run.config_path, run.metrics_dir, run.evaluation_path),
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

    A log that is missing or damaged is told anew from the journal where there is one.
    """
    config = _config(run)
    inputs: dict[str, Any] = {}
    for name, path, retell in (
        ("history", run.metrics_dir / "metrics_history.json", performance_log),
        ("time_logs", run.time_dir / "time_logs.json", time_log),
        ("lr_logs", run.learning_rate_dir / "lr_logs.json", learning_rate_log),
    ):
        inputs[name] = _attempt(functools.partial(_read_log, run, path, retell))
    inputs["evaluation"] = _optional(run, run.evaluation_path, read_object)
    inputs["attention"] = _optional(run, run.attention_path, read_attention)
    inputs["attention_history"] = _attempt(lambda: _attention_history(run))
    inputs["num_train_clips"] = _attempt(lambda: _num_train_clips(run))
    inputs["config"] = config
    return inputs | _scores(run, inputs["evaluation"])


def _illustrate(
    run: RunDirectory,
    formats: tuple[str, ...],
    style: Style,
    callback_seconds: Mapping[str, float] | None,
) -> Illustration:
    parts = []
    if is_search(run):
        gallery = illustrate_search(run, formats=formats, style=style)
        problems = search_problems(gallery)
        parts.append(Illustration(gallery=gallery, report_path=None, problems=problems))
    if not parts or _has_trained(run):
        parts.append(_illustrate_training(run, formats, style, callback_seconds))
    return Illustration(
        gallery=Gallery(
            drawn=tuple(figure for part in parts for figure in part.gallery.drawn),
            omitted=tuple(figure for part in parts for figure in part.gallery.omitted),
        ),
        report_path=parts[-1].report_path,
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _illustrate_training(
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
    if callback_seconds is not None and isinstance(inputs["time_logs"], Mapping):
        drawing = time.perf_counter() - began
        parts = {**time_parts(inputs["time_logs"]), **callback_seconds, "figures": drawing}
        inputs["time_logs"] = {**inputs["time_logs"], "breakdown": parts}
        write_json(run.time_dir / "time_logs.json", inputs["time_logs"])
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
    content = report_content(
        records,
        pictures=_pictures(gallery),
        missing_pictures=[
            MissingPicture(
                folder=figure.spec.folder,
                title=figure.spec.title,
                reason=figure.reason,
                is_fault=figure.is_fault,
            )
            for figure in gallery.omitted
        ],
        problems=[*damaged, *advice_problem],
    )
    write_html(run.report_path, content)
    return Illustration(gallery=gallery, report_path=run.report_path, problems=(*problems, *faults))


def _has_trained(run: RunDirectory) -> bool:
    """Return whether a directory holds records of a training; a search's own has only trials."""
    records = (run.metrics_dir, run.time_dir, run.evaluation_path, run.attention_path)
    return any(path.exists() for path in records)


def _read_log(run: RunDirectory, path: Path, retell: Callable[..., dict[str, Any]]) -> Any:
    try:
        check_files(run, path)
        return read_object(path)
    except PipelineError:
        if not run.journal_path.exists():
            raise
        records = epoch_records(effective_events(read_events(run.journal_path)))
        if not records:
            raise
        return retell(records)


def _scores(run: RunDirectory, evaluation: Any) -> dict[str, Any]:
    """Return truth and prediction of the split that was evaluated last."""
    told = evaluation.get("split") if isinstance(evaluation, Mapping) else None
    split = told if isinstance(told, str) else "validation"
    predictions = _optional(run, run.predictions_path(split), read_predictions)
    if predictions is None or isinstance(predictions, Unavailable):
        return {"y_true": predictions, "y_pred": predictions}
    return {"y_true": predictions.y_true, "y_pred": predictions.y_pred, "split": split}


def _attention_history(run: RunDirectory) -> Any:
    events = effective_events(read_events(run.journal_path))
    if not events and run.journal_path.exists():
        raise RunError(f"{run.journal_path}: is empty. Restore it from a backup.")
    return [event.content for event in events if event.kind == "attention"] or None


def _num_train_clips(run: RunDirectory) -> int | None:
    if not run.summary_path.exists():
        return None
    check_files(run, run.summary_path)
    return int(read_json(run.summary_path)["num_clips"]["train"])


def _config(run: RunDirectory) -> Any:
    return _optional(run, run.config_path, read_yaml_mapping)


def _write_advice(run: RunDirectory, inputs: Mapping[str, Any]) -> list[str]:
    needed = [inputs[name] for name in ("time_logs", "history", "config")]
    if not all(isinstance(value, Mapping) for value in needed):
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


def _pictures(gallery: Gallery) -> list[Picture]:
    """Return the figures as the report shows them; those in other formats only are left out."""
    pictures = []
    for figure in gallery.drawn:
        shown = [path for path in figure.paths if path.suffix[1:] in MEDIA_TYPES]
        if shown:
            pictures.append(
                Picture(
                    name=figure.spec.name,
                    folder=figure.spec.folder,
                    title=figure.spec.title,
                    caption=figure.spec.caption,
                    alt_text=figure.alt_text,
                    media_type=MEDIA_TYPES[shown[0].suffix[1:]],
                    data=shown[0].read_bytes(),
                )
            )
    return pictures


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
