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
from pipeline.core.errors import FeatureSetError, SplitError
from pipeline.core.identifiers import look_alikes
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.core.run_log import RunLog, read_last_status
from pipeline.core.traits import TraitLabel
from pipeline.data.encoder import check_encoder
from pipeline.data.feature_set import FeatureSet
from pipeline.data.prepare import clip_stem
from pipeline.data.splits import names_in_subset
from pipeline.evaluation.baselines import load_baselines
from pipeline.evaluation.report import build_report
from pipeline.records.calibration import write_calibration
from pipeline.records.evaluation import Coverage, EvaluationReport, write_report
from pipeline.records.manifest import check_files, forget_files, record_files
from pipeline.records.predictions import Names, write_predictions
from pipeline.tracking.existing_runs import log_evaluation
from pipeline.tracking.mirror import deliver_rest
from pipeline.workflows.features import open_features
from pipeline.workflows.prediction_intervals import (
    calibrate_held_out,
    judge_evaluated,
    judge_held_out,
    of_unseen_groups,
)
from pipeline.workflows.scoring import Scores, score
from pipeline.workflows.subgroups import known_columns, refuse_unknown_columns, values_by
from pipeline.workflows.trained_model import (
    TrainedModel,
    fetch_trained_model,
    load_trained_model,
)

_logger = logging.getLogger(__name__)

SPLITS = ("validation", "test", "all")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """A report and where it was written."""

    report: EvaluationReport
    report_path: Path
    num_training_clips: int
    """How many of the evaluated clips the model was trained on."""
    undelivered: str | None = None
    """Why MLflow does not have it; None where it does, or where the run is not tracked."""
    traits: tuple[TraitLabel, ...] = ()
    """How the training data of the model score each trait; empty if they do not say it."""
    outdated_report: Path | None = None
    """The page of the run that tells of an earlier evaluation; None where there is none."""


def evaluate_run(
    run_dir: Path,
    data: DataConfig | None,
    *,
    split: str,
    by: tuple[str, ...] = (),
    output_dir: Path | None = None,
) -> Evaluation:
    """Evaluate the model of a run directory; write into it, and log to its MLflow run.

    Args:
        run_dir: The run.
        data: Features to evaluate on; those of the run unless given.
        split: `validation`, `test` or `all`.
        by: Columns of the clip table to report separately.
        output_dir: Where `evaluation.json` and `predictions/` go instead; then neither the run
            nor its MLflow run knows of it.

    Raises:
        PipelineError: If the run has no model yet, or the clips cannot be evaluated.
    """
    run = open_run_directory(run_dir)
    trained = load_trained_model(run)
    if output_dir is not None:
        into = RunDirectory(output_dir.absolute())
        return _evaluate(trained, data, split=split, by=by, into=into)
    with run.locked():
        read_last_status(run)  # a damaged run log could not take the evaluation up
        evaluation = _evaluate(trained, data, split=split, by=by, into=run)
        record_files(run, run.evaluation_path, run.predictions_path(split))
        _log_evaluation(run, RunLog(run.run_log_path), evaluation.report)
        return dataclasses.replace(
            evaluation,
            undelivered=deliver_rest(run),
            outdated_report=run.report_path if run.report_path.exists() else None,
        )


def evaluate_model(
    model_uri: str,
    data: DataConfig | None,
    *,
    split: str,
    by: tuple[str, ...] = (),
    output_dir: Path,
) -> Evaluation:
    """Evaluate a model that MLflow keeps; write into `output_dir`, and log to its MLflow run.

    Args:
        model_uri: For instance `runs:/RUN_ID/model` or `models:/NAME@ALIAS`.
        data: Features to evaluate on; those it was trained with unless given.
        split: `validation`, `test` or `all`.
        by: Columns of the clip table to report separately.
        output_dir: Where `evaluation.json` and `predictions/` go.

    Raises:
        PipelineError: If the model cannot be fetched, or the clips cannot be evaluated.
    """
    trained = fetch_trained_model(model_uri)
    into = RunDirectory(output_dir.absolute())
    evaluation = _evaluate(trained, data, split=split, by=by, into=into)
    paths = {"": evaluation.report_path, "predictions": into.predictions_path(split)}
    undelivered = log_evaluation(model_uri, paths, _metrics(evaluation.report))
    return dataclasses.replace(evaluation, undelivered=undelivered)


def conclude_evaluation(
    run: RunDirectory,
    run_log: RunLog,
    features: FeatureSet,
    scores: Scores,
    config: ExperimentConfig,
    *,
    group_overlap: dict[str, Any],
    seen_groups: Names,
) -> EvaluationReport:
    """Write and log the evaluation that ends a training, on its held-out clips.

    The prediction intervals of the model are calibrated on the same clips, but for those of
    `seen_groups`, which the training has clips of.
    """
    unseen = of_unseen_groups(scores.predictions, seen_groups)
    calibration = calibrate_held_out(unseen, config)
    write_calibration(run.calibration_path, calibration)
    rows = np.flatnonzero(np.isin(features.clip_ids, scores.predictions.clip_ids))
    order = {clip_id: row for row, clip_id in zip(rows, features.clip_ids[rows], strict=True)}
    in_order = np.array([order[clip_id] for clip_id in scores.predictions.clip_ids])
    report = _write(
        run,
        scores,
        "validation",
        config,
        by=values_by(features, in_order, config.evaluation.by),
        group_overlap=group_overlap,
        intervals=judge_held_out(calibration, unseen, config),
    )
    _log_evaluation(run, run_log, report)
    return report


def _evaluate(
    trained: TrainedModel,
    data: DataConfig | None,
    *,
    split: str,
    by: tuple[str, ...],
    into: RunDirectory,
) -> Evaluation:
    check_files(trained.home, trained.home.baselines_path)
    features = open_features(data or trained.config.data)
    features.checked_labels()
    check_encoder(features.encoder, trained.encoder, features.features_dir)
    if doubt := trained.encoder_doubt(features):
        _logger.warning("%s", doubt)
    _check_directions(trained, features)
    refuse_unknown_columns(features, by)
    known = _recognised(trained, features)
    rows = _rows_of(features, trained, known, split)
    columns = values_by(features, rows, by or known_columns(features, trained.config.evaluation.by))
    scores = score(trained.network, load_baselines(trained.home.baselines_path), features, rows)
    if into == trained.home and features.digest != trained.digest:
        _logger.warning(
            "%s: its evaluation and its predictions of the split %s are now those of %s, which it "
            "was not trained on. Give --output_dir to keep them apart.",
            *(into.path, split, features.sources[0].parent),
        )
    report = _write(
        into,
        scores,
        split,
        trained.config,
        by=columns,
        group_overlap=_overlap_with_training(features, rows, known),
        intervals=judge_evaluated(trained.calibration, scores.predictions, known, trained.config),
    )
    training_clips = names_in_subset(known, "train", "clip_id")
    return Evaluation(
        report=report,
        report_path=into.evaluation_path,
        num_training_clips=int(np.isin(features.clip_ids[rows], training_clips).sum()),
        traits=trained.traits,
    )


def _check_directions(trained: TrainedModel, features: FeatureSet) -> None:
    """Refuse labels that score a trait in the other direction than the model was trained on."""
    if features.digest == trained.digest:
        return
    place = features.sources[0].parent
    expected, found = (
        {trait.name for trait in traits if trait.is_reversed}
        for traits in (trained.traits, features.traits)
    )
    other = ", ".join(sorted(expected ^ found))
    if not other:
        return
    if trained.traits and features.traits:
        raise FeatureSetError(
            f"{place}: scores {other} in the other direction than the data that the model was "
            "trained on (`traits` in features.json). Evaluate on labels of the same direction."
        )
    silent, known = str(place), "the training data of the model"
    if features.traits:
        silent, known = known, str(place)
    _logger.warning(
        "%s: does not say in which direction %s is scored, and %s scores it in reverse. If the "
        "directions differ, the results for it mean nothing.",
        *(silent, other, known),
    )


def _write(
    into: RunDirectory,
    scores: Scores,
    split: str,
    config: ExperimentConfig,
    *,
    by: dict[str, Any],
    group_overlap: dict[str, Any],
    intervals: Coverage | None,
) -> EvaluationReport:
    report = build_report(
        scores.predictions,
        scores.baselines,
        split=split,
        by=by,
        group_overlap=group_overlap,
        intervals=intervals,
        num_resamples=config.evaluation.num_resamples,
        seed=config.seed,
    )
    forget_files(into, into.evaluation_path, into.predictions_path(split))
    write_predictions(into.predictions_path(split), scores.predictions)
    write_report(into.evaluation_path, report)
    return report


def _log_evaluation(run: RunDirectory, run_log: RunLog, report: EvaluationReport) -> None:
    run_log.log_metrics(_metrics(report))
    predictions = run.predictions_path(report.split).relative_to(run.path)
    run_log.log_artifacts(["evaluation.json", predictions.as_posix()])


def _metrics(report: EvaluationReport) -> dict[str, float]:
    """Return the values of a report under the paths that MLflow groups them by."""
    metrics = {
        f"evaluation/{report.split}/{metric}/{trait}": interval.value
        for metric, traits in report.metrics.items()
        for trait, interval in traits.items()
    }
    baselines = {
        f"reference/{report.split}/{metric}/{name}": traits["mean"].value
        for name, scores in report.baselines.items()
        for metric, traits in scores.items()
    }
    return metrics | baselines | _interval_metrics(report)


def _interval_metrics(report: EvaluationReport) -> dict[str, float]:
    if report.intervals is None:
        return {}
    covered = {name: share.value for name, share in report.intervals.coverage.items()}
    return {
        f"evaluation/{report.split}/{metric}/{name}": value
        for metric, values in (
            ("interval_coverage", covered),
            ("interval_width", report.intervals.mean_width),
        )
        for name, value in values.items()
    }


def _recognised(trained: TrainedModel, features: FeatureSet) -> pd.DataFrame:
    """Return the split of the training; none of it where its clips cannot be told in a set.

    Clips without a table are numbered, and the numbers of another set are of other clips.
    """
    if features.has_groups or features.digest == trained.digest:
        _warn_of_look_alikes(trained, features)
        return trained.split
    _logger.warning(
        "%s: has no table of clips, so nobody can tell which of them the model was trained on; "
        "all count as new. Add clips.csv, or give it with --clips.",
        features.sources[0].parent,
    )
    return trained.split.iloc[:0]


def _warn_of_look_alikes(trained: TrainedModel, features: FeatureSet) -> None:
    ids = set(trained.split["clip_id"])
    known = {clip_stem(clip_id): clip_id for clip_id in ids}
    unknown = [clip_id for clip_id in features.clip_ids.tolist() if clip_id not in ids]
    given = {clip_stem(clip_id): clip_id for clip_id in unknown}
    same_stem = {stem: stem for stem in given if stem in known}
    similar = {**same_stem, **look_alikes(given, known)}
    if similar:
        stem, other = next(iter(similar.items()))
        _logger.warning(
            "%s: %d clips are not among those of the run, but their ids nearly are (the first is "
            "%r, and the run has %r). They count as new. Spell the ids as the run does.",
            *(features.sources[0].parent, len(similar), given[stem], known[other]),
        )


def _rows_of(
    features: FeatureSet, trained: TrainedModel, known: pd.DataFrame, split: str
) -> IntArray:
    """Return the clips of a split: as the run split them, else as the clip table says."""
    if split == "all":
        return np.arange(features.num_clips)
    sides = dict(zip(known["clip_id"], known["split"], strict=True))
    column = features.split_column
    side = [
        sides.get(clip_id, column[row] if column is not None else "")
        for row, clip_id in enumerate(features.clip_ids)
    ]
    rows = np.flatnonzero(np.asarray(side) == split)
    if len(rows) == 0:
        seen = (
            "The model was trained on the clips of all its folds; evaluation.json of its "
            "training has their out-of-fold scores. "
        )
        raise SplitError(
            f"{features.sources[0].parent}: no clip belongs to the split {split}, neither in the "
            "split of the run nor in a column `split` of clips.csv. "
            f"{seen if trained.config.training.num_folds else ''}"
            "Train with --data.test_fraction 0.2 to hold clips out for a test, or give clips that "
            "the model has not seen, with a column `split`."
        )
    return rows


def _overlap_with_training(
    features: FeatureSet, rows: IntArray, trained_on: pd.DataFrame
) -> dict[str, Any]:
    groups = features.groups[rows]
    is_shared = np.isin(groups, names_in_subset(trained_on, "train", "group"))
    return {
        "train/evaluated": {
            "shared_groups": len(np.unique(groups[is_shared])),
            "shared_clips": float(is_shared.mean()),
        }
    }
