"""Prediction intervals of a model: calibration after training, coverage in an evaluation."""

import numpy as np
import pandas as pd

from pipeline.config.schema import ExperimentConfig
from pipeline.data.splits import names_in_subset
from pipeline.evaluation.intervals.conformal import (
    annotated_scores,
    calibrate,
    measure_coverage,
    measure_coverage_in_halves,
)
from pipeline.records.calibration import OUT_OF_FOLD, VALIDATION, Calibration
from pipeline.records.evaluation import Coverage
from pipeline.records.predictions import Names, Predictions


def unseen_groups(predictions: Predictions, training_groups: Names) -> Predictions:
    """Return the predictions for clips whose group has no training clips.

    If the clip table defines the split, a group can have both training and validation clips.
    """
    groups, seen = (
        np.asarray(names, dtype=np.str_) for names in (predictions.groups, training_groups)
    )
    return predictions.take(np.flatnonzero(~np.isin(groups, seen)))


def calibrate_held_out(predictions: Predictions, config: ExperimentConfig) -> Calibration:
    """Calibrate the intervals on predictions for validation clips, or out-of-fold predictions.

    The model must not be trained on clips from the groups of these predictions.
    """
    return calibrate(
        annotated_scores(predictions),
        predictions.y_pred,
        predictions.groups,
        trait_names=predictions.trait_names,
        clips=OUT_OF_FOLD if config.training.num_folds else VALIDATION,
    )


def coverage_in_halves(
    calibration: Calibration, predictions: Predictions, config: ExperimentConfig
) -> Coverage | None:
    """Estimate the coverage from calibration clips only; return None if they are too few."""
    return measure_coverage_in_halves(
        predictions,
        level=calibration.level,
        num_resamples=config.evaluation.num_resamples,
        seed=config.seed,
    )


def coverage_of_evaluated(
    calibration: Calibration,
    predictions: Predictions,
    split: pd.DataFrame,
    config: ExperimentConfig,
) -> Coverage | None:
    """Measure the coverage on evaluated clips from new groups.

    A new group has neither training nor validation clips. Without new groups, the coverage is
    estimated from the evaluated calibration clips. `split` is the split of the training run, with
    the columns `clip_id`, `group` and `split`.

    Returns:
        None if there are neither new groups nor enough calibration clips.
    """
    used = split.loc[split["split"] != "test"]
    is_new = ~np.isin(np.asarray(predictions.groups), used["group"].to_numpy(dtype=np.str_))
    if is_new.any():
        return measure_coverage(
            calibration,
            predictions.take(np.flatnonzero(is_new)),
            num_resamples=config.evaluation.num_resamples,
            seed=config.seed,
        )
    calibration_clips = names_in_subset(used, "validation", "clip_id")
    rows = np.flatnonzero(np.isin(np.asarray(predictions.clip_ids), calibration_clips))
    training_groups = names_in_subset(used, "train", "group")
    held_out = unseen_groups(predictions.take(rows), training_groups)
    return coverage_in_halves(calibration, held_out, config)
