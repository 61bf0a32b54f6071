"""The prediction intervals of a model: calibrated as it is trained, measured as it is judged."""

import numpy as np
import pandas as pd

from pipeline.config.schema import ExperimentConfig
from pipeline.data.splits import names_in_subset
from pipeline.evaluation.intervals.conformal import (
    calibrate,
    measure_coverage,
    measure_coverage_in_halves,
)
from pipeline.records.calibration import OUT_OF_FOLD, VALIDATION, Calibration
from pipeline.records.evaluation import Coverage
from pipeline.records.predictions import Names, Predictions


def of_unseen_groups(predictions: Predictions, seen_groups: Names) -> Predictions:
    """Return the clips whose group the model has not seen: only their errors are those of new ones.

    A split that a clip table marks may have clips of one video on both sides.
    """
    groups, seen = (np.asarray(names, dtype=np.str_) for names in (predictions.groups, seen_groups))
    is_seen = np.isin(groups, seen)
    return predictions.take(np.flatnonzero(~is_seen))


def calibrate_held_out(predictions: Predictions, config: ExperimentConfig) -> Calibration:
    """Calibrate on the held-out clips of a training: validation, or those of every fold.

    Args:
        predictions: Held-out clips, of groups that the model has not seen.
        config: Configuration of the training.

    Raises:
        ValueError: If the annotated scores are unknown.
    """
    if predictions.y_true is None:
        raise ValueError("calibration needs annotated scores; these predictions have none")
    return calibrate(
        predictions.y_true,
        predictions.y_pred,
        predictions.groups,
        clips=OUT_OF_FOLD if config.training.num_folds else VALIDATION,
    )


def judge_held_out(
    calibration: Calibration, predictions: Predictions, config: ExperimentConfig
) -> Coverage | None:
    """Measure coverage on the calibration clips themselves, in halves; None if they are few."""
    return measure_coverage_in_halves(
        predictions,
        level=calibration.level,
        num_resamples=config.evaluation.num_resamples,
        seed=config.seed,
    )


def judge_evaluated(
    calibration: Calibration,
    predictions: Predictions,
    split: pd.DataFrame,
    config: ExperimentConfig,
) -> Coverage | None:
    """Measure coverage on the evaluated clips whose groups the model has nothing to do with.

    Where there are none, it is measured on the calibration clips among them, in halves.

    Args:
        calibration: Where the intervals come from.
        predictions: The evaluated clips.
        split: Which clip was on which side in training: `clip_id`, `group`, `split`.
        config: Configuration of the training.

    Returns:
        None where neither can be measured.
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
    calibrated_on = names_in_subset(used, "validation", "clip_id")
    rows = np.flatnonzero(np.isin(np.asarray(predictions.clip_ids), calibrated_on))
    trained_on = names_in_subset(used, "train", "group")
    held_out = of_unseen_groups(predictions.take(rows), trained_on)
    return judge_held_out(calibration, held_out, config)
