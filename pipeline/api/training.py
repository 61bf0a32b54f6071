"""Train a model from Python."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.api.inputs import (
    ConfigLike,
    PathLike,
    RunLike,
    experiment_config,
    feature_arguments,
    path_of,
)
from pipeline.api.run import Run
from pipeline.core.model_path import check_model_path
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.workflows.new_run import plan_run

_logger = logging.getLogger(__name__)


def train(
    config: ConfigLike = None,
    *,
    features_dir: PathLike | None = None,
    static_features: PathLike | None = None,
    dynamic_features: PathLike | None = None,
    labels: PathLike | Sequence[PathLike] | None = None,
    clips: PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    run_dir: PathLike | None = None,
    output: PathLike | None = None,
) -> Run:
    """Train a model, evaluate it on held-out groups, and track the run in MLflow.

    This function does the same as the command `train`.

    Args:
        config: Path or name of an experiment file, dotted names and values of settings, or an
            `ExperimentConfig`. Without a file, some settings are chosen from the number of
            training clips.
        features_dir: Directory of the feature set. By default, the features of `config`.
        static_features: Static stream (`.npy`), instead of `features_dir`.
        dynamic_features: Dynamic stream (`.npy`), instead of `features_dir`.
        labels: `labels.npy`, or one or several label tables.
        clips: Clip table (`.csv`), instead of `features_dir`.
        settings: Dotted name -> value of settings that have priority over `config`, for instance
            `{"training.num_epochs": 20, "model.num_heads": 8}`.
        run_dir: New directory of the run; a new directory in `runs/` by default.
        output: File for a copy of the model: `.keras`, `.h5` or `.weights.h5`.

    Returns:
        The finished run.

    Raises:
        ConfigError: If a setting is unknown or not valid.
        PipelineError: If the features are not usable, or the training fails.

    Example:
        >>> run = pipeline.train("first_impressions", features_dir="features/first_impressions")
        >>> run = pipeline.train(features_dir="features/mine", settings={"seed": 1})
    """
    if output is not None:
        check_model_path(Path(output))
    features = feature_arguments(
        labels,
        features_dir=features_dir,
        static_features=static_features,
        dynamic_features=dynamic_features,
        clips=clips,
    )
    experiment, given, base = experiment_config(config, {**features, **(settings or {})})
    plan = plan_run(experiment, given=given, base=base)
    if plan.chosen:
        _logger.info("%s", plan.chosen)
    import_tensorflow_quietly()
    from pipeline.workflows.train import run_training

    finished = run_training(
        plan.config,
        run_dir=path_of(run_dir),
        output=path_of(output),
        features=plan.features,
        run_name=plan.run_name,
    )
    return _result(finished.run.path, finished.undelivered)


def resume(run: RunLike, *, output: PathLike | None = None) -> Run:
    """Continue an interrupted training in its run directory.

    The result equals the result of a training without interruption. A finished run does not change.

    Args:
        run: Run to continue.
        output: File for a copy of the model: `.keras`, `.h5` or `.weights.h5`.

    Returns:
        The finished run.

    Raises:
        PipelineError: If there is no such run, or its features have changed.

    Example:
        >>> run = pipeline.resume("runs/20260101-120000-demo-1a2b3c4d")
    """
    if output is not None:
        check_model_path(Path(output))
    path = Run.load(run).path
    import_tensorflow_quietly()
    from pipeline.workflows.train import resume_training

    finished = resume_training(path, output=path_of(output))
    return _result(finished.run.path, finished.undelivered)


def _result(path: Path, undelivered: str | None) -> Run:
    if undelivered is not None:
        _logger.warning(
            "MLflow does not have the whole run yet (%s). Send the rest later with "
            "`python -m pipeline sync --run_dir %s`.",
            *(undelivered, path),
        )
    return Run(path)
