"""Evaluate, predict and compare from Python.

Shapes: N clips, T time steps, D features.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from numpy.typing import NDArray

from pipeline.api.evaluation import EvaluationResult
from pipeline.api.inputs import PathLike, RunLike, data_config, model_source, path_of, text_of
from pipeline.config.schema import DataConfig
from pipeline.core.errors import ConfigError
from pipeline.core.tensorflow_import import import_tensorflow_quietly

_logger = logging.getLogger(__name__)


def evaluate(
    run: RunLike,
    *,
    split: Literal["validation", "test", "all"] = "validation",
    features_dir: PathLike | None = None,
    labels: PathLike | Sequence[PathLike] | None = None,
    by: Sequence[str] = (),
    output_dir: PathLike | None = None,
) -> EvaluationResult:
    """Evaluate a trained model: six metrics per trait with 95 % intervals, and baselines.

    This function does the same as the command `evaluate`. The result is stored in the run directory
    and in MLflow.

    Args:
        run: Run, run directory, `runs:/RUN_ID`, or the MLflow URI of a model such as
            `models:/NAME@ALIAS`.
        split: Subset of the clips.
        features_dir: Directory of another feature set; by default, the features of the run.
        labels: `labels.npy`, or one or several label tables, instead of the labels of the set.
        by: Columns of `clips.csv` that define subgroups.
        output_dir: Directory for the results. With this argument, the run and MLflow do not change.
            For an MLflow model, the results are by default only stored in MLflow.

    Raises:
        PipelineError: If the run has no model, or the clips are not usable.

    Example:
        >>> pipeline.evaluate(run, split="test").scores.loc["ccc"]
    """
    run_dir, model_uri = model_source(run)
    data = data_config(labels, features_dir=features_dir)
    target = path_of(output_dir)
    options: dict[str, Any] = {"split": split, "by": tuple(by)}
    import_tensorflow_quietly()
    from pipeline.workflows.evaluate import evaluate_model, evaluate_run

    if run_dir is not None:
        evaluation = evaluate_run(run_dir, data, output_dir=target, **options)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            place = target or Path(temporary)
            evaluation = evaluate_model(model_uri, data, output_dir=place, **options)
    if evaluation.num_training_clips:
        _logger.warning(
            "the model was trained on %d of these %d clips; expect worse metrics on new clips.",
            *(evaluation.num_training_clips, evaluation.report.num_clips),
        )
    if evaluation.undelivered is not None:
        _logger.warning("MLflow does not have this evaluation yet (%s).", evaluation.undelivered)
    is_kept = run_dir is not None or target is not None
    return EvaluationResult(evaluation.report, path=evaluation.report_path if is_kept else None)


def predict(
    run: RunLike,
    features_dir: PathLike | None = None,
    *,
    arrays: Mapping[str, NDArray[Any]] | None = None,
    videos_dir: PathLike | None = None,
    face_dir: PathLike | None = None,
    flow_dir: PathLike | None = None,
    work_dir: PathLike | None = None,
    units: Literal["score", "original"] = "score",
    output: PathLike | None = None,
) -> pd.DataFrame:
    """Predict the traits of clips, with 90 % intervals. Labels are not needed.

    This function does the same as the command `predict`. Give the clips in one of these ways:
    `features_dir`, `arrays`, `videos_dir`, or `face_dir` with `flow_dir`.

    Args:
        run: Run, run directory, `runs:/RUN_ID`, or the MLflow URI of a model such as
            `models:/NAME@ALIAS`.
        features_dir: Directory of a feature set.
        arrays: Arrays of a feature set by name: `static` and other streams, shape (N, T, D) or
            (N, D); optionally `static_mask`, shape (N, T), and so on. They must be from the encoder
            of the training features.
        videos_dir: Directory of videos. The features are extracted as for the training.
        face_dir: Directory with one folder of face images per clip, together with `flow_dir`.
        flow_dir: Directory with one folder of flow fields per clip.
        work_dir: Directory that keeps the extracted features; by default, they are not kept.
        units: `score` for scores in [0, 1], or `original` for the range of the annotations that
            the model was trained on.
        output: File for the table: `.csv`, `.npy` or `.parquet`.

    Returns:
        Table with one row per clip. The columns are `clip_id`, and for each trait, for instance,
        `openness`, `openness_low` and `openness_high`: the score and the ends of its interval.

    Raises:
        PipelineError: If the model or the clips are not usable.

    Example:
        >>> pipeline.predict(run, "features/new")
        >>> pipeline.predict(run, arrays={"static": faces, "dynamic": motion})
    """
    crops = (face_dir, flow_dir)
    given = [features_dir is not None, arrays is not None, videos_dir is not None, any(crops)]
    if sum(given) != 1 or (any(crops) and not all(crops)):
        raise ConfigError(
            "Give the clips in one way: features_dir, arrays, videos_dir, or face_dir with "
            "flow_dir."
        )
    run_dir, model_uri = model_source(run)
    import_tensorflow_quietly()
    from pipeline.workflows.predict import Clips, predict_clips
    from pipeline.workflows.raw_clips import RawClips

    clips: Clips
    if arrays is not None:
        clips = arrays
    elif features_dir is not None:
        clips = DataConfig(features_dir=text_of(features_dir))
    else:
        clips = RawClips(
            videos_dir=path_of(videos_dir),
            face_dir=path_of(face_dir),
            flow_dir=path_of(flow_dir),
            work_dir=path_of(work_dir),
        )
    prediction = predict_clips(
        clips, run_dir=run_dir, model_uri=model_uri, output=path_of(output), units=units
    )
    for failure in prediction.failures:
        _logger.warning("no prediction for %s", failure)
    return prediction.table
