"""Evaluate a trained model on a split: metrics with intervals, baselines, subgroups."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.schema import DataConfig, ExperimentConfig
from pipeline.core.arrays import IntArray
from pipeline.core.errors import FeatureSetError, PipelineError, SplitError
from pipeline.core.identifiers import look_alikes
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.core.run_log import RunLog, read_last_status
from pipeline.core.traits import TraitLabel
from pipeline.data.clip_names import clip_stem
from pipeline.data.encoder import check_encoder
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import names_in_subset
from pipeline.evaluation.baselines import load_baselines
from pipeline.evaluation.report import build_report
from pipeline.records.evaluation import Coverage, EvaluationReport, read_report, write_report
from pipeline.records.manifest import check_files, forget_files, record_files
from pipeline.records.predictions import write_predictions
from pipeline.report.images import FIGURE_FOLDERS
from pipeline.workflows.features import (
    check_columns,
    column_values,
    existing_columns,
    log_features,
    open_features,
    recorded_columns,
)
from pipeline.workflows.prediction_intervals import coverage_of_evaluated
from pipeline.workflows.scoring import Scores, absence_caveats, score
from pipeline.workflows.trained_model import (
    TrainedModel,
    fetch_trained_model,
    load_trained_model,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Evaluation report and its file."""

    report: EvaluationReport
    report_path: Path
    num_training_clips: int
    """Number of evaluated clips that are training clips of the model."""
    is_ridge: bool = False
    """Whether the scores of the model are those of ridge regression."""
    undelivered: str | None = None
    """Reason why the evaluation is missing in MLflow; None if it is delivered or not tracked."""
    traits: tuple[TraitLabel, ...] = ()
    """Name and direction of each trait in the training data; empty if unknown."""


def evaluate_run(
    run_dir: Path,
    data: DataConfig | None,
    *,
    split: str,
    by: tuple[str, ...] = (),
    output_dir: Path | None = None,
) -> Evaluation:
    """Evaluate the model of a run. Store the result in the run directory and in MLflow.

    Args:
        run_dir: Directory of the run.
        data: Features of the evaluated clips; None for the feature set of the run.
        split: `validation`, `test` or `all`.
        by: Columns of the clip table that define subgroups.
        output_dir: Directory for `evaluation.json` and `predictions/`. If it is given, the run
            directory and MLflow are not changed.

    Raises:
        PipelineError: If the run has no model yet, or the feature set is not usable.
    """
    run = open_run_directory(run_dir)
    trained = load_trained_model(run)
    if output_dir is not None:
        target = RunDirectory(output_dir.absolute())
        return _evaluate(trained, data, split=split, by=by, target=target)[0]
    with run.locked():
        read_last_status(run)  # raises an error for a damaged run log
        evaluation, features = _evaluate(trained, data, split=split, by=by, target=run)
        earlier = sorted(run.evaluations_dir.glob("*.json"))
        record_files(run, run.evaluation_path, run.predictions_path(split), *earlier)
        run_log = RunLog(run.run_log_path)
        log_features(run_log, features, {split: evaluation.report.num_clips})
        log_report(run, run_log, evaluation.report)
        if run.report_path.exists():
            _visualize(run, run_log, split)
        from pipeline.tracking.mirror import deliver_rest  # this imports MLflow

        return dataclasses.replace(evaluation, undelivered=deliver_rest(run))


def evaluate_model(
    model_uri: str,
    data: DataConfig | None,
    *,
    split: str,
    by: tuple[str, ...] = (),
    output_dir: Path,
) -> Evaluation:
    """Evaluate a model from MLflow. Log the result to the MLflow run of the model.

    `model_uri` is, for example, `models:/NAME/VERSION` or `models:/NAME@ALIAS`. The other arguments
    are those of `evaluate_run`.

    Raises:
        PipelineError: If the download fails, or the feature set is not usable.
    """
    trained = fetch_trained_model(model_uri)
    target = RunDirectory(output_dir.absolute())
    evaluation, features = _evaluate(trained, data, split=split, by=by, target=target)
    paths = {"": evaluation.report_path, "predictions": target.predictions_path(split)}
    from pipeline.tracking.existing_runs import log_evaluation  # this imports MLflow

    undelivered = log_evaluation(
        model_uri,
        paths,
        report_metrics(evaluation.report),
        dataset=(features.sources[0].parent.name, features.digest),
    )
    return dataclasses.replace(evaluation, undelivered=undelivered)


def _evaluate(
    trained: TrainedModel,
    data: DataConfig | None,
    *,
    split: str,
    by: tuple[str, ...],
    target: RunDirectory,
) -> tuple[Evaluation, FeatureSet]:
    check_files(trained.home, trained.home.baselines_path)
    features = open_features(recorded_columns(data or trained.config.data, trained.data))
    features.checked_labels()
    check_encoder(features.encoder, trained.data.encoder, features.features_dir)
    if caveat := trained.encoder_caveat(features):
        _logger.warning("%s", caveat)
    for warning in absence_caveats(trained.network, features):
        _logger.warning("%s", warning)
    _check_directions(trained, features)
    check_columns(features, by)
    training_split = _training_split(trained, features)
    rows = _rows_of_split(features, trained, training_split, split)
    by = by or existing_columns(features, trained.config.evaluation.by)
    scores = score(trained.network, load_baselines(trained.home.baselines_path), features, rows)
    if target == trained.home and features.digest != trained.data.digest:
        _logger.warning(
            "%s: replacing the evaluation and the predictions for the split %s by results for "
            "%s, which is not the training set. Give --output_dir to keep the results of the run.",
            *(target.path, split, features.sources[0].parent),
        )
    report = build_and_write(
        target,
        scores,
        split,
        trained.config,
        by=column_values(features, rows, by),
        group_overlap=_overlap_with_training(features, rows, training_split),
        intervals=coverage_of_evaluated(
            trained.calibration, scores.predictions, training_split, trained.config
        ),
        traits=features.traits,
    )
    training_clips = names_in_subset(training_split, "train", "clip_id")
    evaluation = Evaluation(
        report=report,
        report_path=target.evaluation_path,
        num_training_clips=int(np.isin(features.clip_ids[rows], training_clips).sum()),
        is_ridge=bool(getattr(trained.network, "is_linear", False)),
        traits=trained.data.traits,
    )
    return evaluation, features


def _check_directions(trained: TrainedModel, features: FeatureSet) -> None:
    """Check that each trait has the same direction in the evaluated data and the training data."""
    if features.digest == trained.data.digest:
        return
    place = features.sources[0].parent
    expected, found = (
        {trait.name for trait in traits if trait.is_reversed}
        for traits in (trained.data.traits, features.traits)
    )
    different = ", ".join(sorted(expected ^ found))
    if not different:
        return
    if trained.data.traits and features.traits:
        raise FeatureSetError(
            f"{place}: {different} must have the same direction as in the training data of the "
            "model, but has the opposite direction (`traits` in features.json). Evaluate on "
            "labels of the same direction."
        )
    unknown, known = str(place), "the training data of the model"
    if features.traits:
        unknown, known = known, str(place)
    _logger.warning(
        "%s: does not define the direction of %s; the direction in %s is reversed. If the "
        "directions differ, the results for this trait are meaningless.",
        *(unknown, different, known),
    )


def build_and_write(
    target: RunDirectory,
    scores: Scores,
    split: str,
    config: ExperimentConfig,
    *,
    by: dict[str, Any],
    group_overlap: dict[str, Any],
    intervals: Coverage | None,
    traits: tuple[TraitLabel, ...],
) -> EvaluationReport:
    """Build an evaluation report. Write the report and the predictions to `target`.

    If `target` contains the evaluation of another split, this evaluation is kept in a file of its
    own. `traits` describes the annotations of the evaluated clips.
    """
    report = build_report(
        scores.predictions,
        scores.baselines,
        split=split,
        without_stream=scores.without_stream,
        by=by,
        group_overlap=group_overlap,
        intervals=intervals,
        traits=traits,
        num_resamples=config.evaluation.num_resamples,
        seed=config.seed,
    )
    _keep_previous(target, split)
    forget_files(target, target.evaluation_path, target.predictions_path(split))
    write_predictions(target.predictions_path(split), scores.predictions)
    write_report(target.evaluation_path, report)
    return report


def _visualize(run: RunDirectory, run_log: RunLog, split: str) -> None:
    """Write the report of the run again, with the figures of the evaluated split."""
    # Without a run directory, nothing is drawn, so Matplotlib is imported only here.
    from pipeline.workflows.visualize import visualize_run

    for problem in visualize_run(run, split=split).problems:
        _logger.warning("%s", problem)
    written = (run.report_path, run.evaluations_dir, *(run.path / name for name in FIGURE_FOLDERS))
    run_log.log_artifacts([path.name for path in written if path.exists()])


def _keep_previous(target: RunDirectory, split: str) -> None:
    try:
        previous = read_report(target.evaluation_path)
    except PipelineError:  # missing or damaged, so there is nothing to keep
        return
    if previous.split != split:
        path = target.earlier_evaluation_path(previous.split)
        forget_files(target, path)
        write_report(path, previous)


def log_report(run: RunDirectory, run_log: RunLog, report: EvaluationReport) -> None:
    """Log the metrics and the files of an evaluation."""
    run_log.log_metrics(report_metrics(report))
    predictions = run.predictions_path(report.split).relative_to(run.path)
    run_log.log_artifacts(["evaluation.json", predictions.as_posix()])


def report_metrics(report: EvaluationReport) -> dict[str, float]:
    """Return the metrics of a report: name of the metric in the run log -> value."""
    split = report.split
    metrics = {
        f"evaluation/{split}/{metric}/{trait}": interval.value
        for metric, traits in report.metrics.items()
        for trait, interval in traits.items()
    }
    for name, scores in report.baselines.items():
        for metric, traits in scores.items():
            metrics[f"reference/{split}/{metric}/{name}"] = traits["mean"].value
    if report.original_units is not None:
        for metric, errors in report.original_units.errors.items():
            for trait, error in errors.items():
                metrics[f"evaluation/{split}/{metric}_original/{trait}"] = error.value
    if report.intervals is not None:
        for name, share in report.intervals.coverage.items():
            metrics[f"evaluation/{split}/interval_coverage/{name}"] = share.value
        for name, width in report.intervals.mean_width.items():
            metrics[f"evaluation/{split}/interval_width/{name}"] = width
    return metrics


def _training_split(trained: TrainedModel, features: FeatureSet) -> pd.DataFrame:
    """Return the split of the training run, or an empty split if ids cannot be compared with it.

    Without a clip table, clip ids are row numbers, which are unique only within one feature set.
    """
    if features.has_groups or features.digest == trained.data.digest:
        _warn_of_similar_ids(trained, features)
        return trained.split
    _logger.warning(
        "%s: has no clip table, so the training clips of the model cannot be identified, and all "
        "clips count as new. Add clips.csv, or give a clip table with --clips.",
        features.sources[0].parent,
    )
    return trained.split.iloc[:0]


def _warn_of_similar_ids(trained: TrainedModel, features: FeatureSet) -> None:
    ids = set(trained.split["clip_id"])
    known = {clip_stem(clip_id): clip_id for clip_id in ids}
    unknown = [clip_id for clip_id in features.clip_ids.tolist() if clip_id not in ids]
    given = {clip_stem(clip_id): clip_id for clip_id in unknown}
    same_stem = {stem: stem for stem in given if stem in known}
    similar = {**same_stem, **look_alikes(given, known)}
    if similar:
        stem, other = next(iter(similar.items()))
        _logger.warning(
            "%s: %d clip ids are nearly, but not exactly, equal to ids of the run (the first is "
            "%r, similar to %r). These clips count as new. Use the spelling of the run.",
            *(features.sources[0].parent, len(similar), given[stem], known[other]),
        )


def _rows_of_split(
    features: FeatureSet, trained: TrainedModel, training_split: pd.DataFrame, split: str
) -> IntArray:
    """Return the row numbers of the clips of a split.

    The split of the run determines the subset of each clip. If the run does not contain a clip,
    the clip table determines the subset.
    """
    if split == "all":
        return np.arange(features.num_clips)
    by_run = dict(zip(training_split["clip_id"], training_split["split"], strict=True))
    by_table = features.split_column
    subset = [
        by_run.get(clip_id, by_table[row] if by_table is not None else "")
        for row, clip_id in enumerate(features.clip_ids)
    ]
    rows = np.flatnonzero(np.asarray(subset) == split)
    if len(rows) == 0:
        out_of_fold = (
            "The model was trained on the clips of all folds. evaluation.json of the training "
            "run contains the metrics of the out-of-fold scores. "
        )
        raise SplitError(
            f"{features.sources[0].parent}: no clip belongs to the split {split}, neither in the "
            "split of the run nor in a column `split` of clips.csv. "
            f"{out_of_fold if trained.config.training.num_folds else ''}"
            "Train with --data.test_fraction 0.2 to hold out test clips, or give new clips with "
            "a column `split`."
        )
    return rows


def _overlap_with_training(
    features: FeatureSet, rows: IntArray, training_split: pd.DataFrame
) -> dict[str, Any]:
    groups = features.groups[rows]
    is_shared = np.isin(groups, names_in_subset(training_split, "train", "group"))
    return {
        "train/evaluated": {
            "shared_groups": len(np.unique(groups[is_shared])),
            "shared_clips": float(is_shared.mean()),
        }
    }
