"""Stages of one training run: prepare, log, fit, evaluate, finalize."""

import dataclasses
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.loading import write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.files import write_arrays, write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import describe_scores
from pipeline.data.batches import LabelledBatches, inference_batch_size, inference_batches
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, group_overlap, write_split
from pipeline.data.stream import feature_moments
from pipeline.evaluation.baselines import Baselines, save_baselines
from pipeline.figures.processes import DrawingProcesses
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.heads import LinearScores
from pipeline.models.persistence import save_model
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.trainability import (
    choose_trainable,
    count_weights,
    frozen_at_random,
    layer_states,
)
from pipeline.records.attention import write_attention
from pipeline.records.calibration import write_calibration
from pipeline.records.data_description import write_data
from pipeline.records.evaluation import EvaluationReport
from pipeline.records.manifest import check_files, forget_files, record_files
from pipeline.records.metrics_history import HISTORY_FILE, LEARNING_RATE_FILE
from pipeline.records.predictions import Names
from pipeline.records.summary import Summary, read_summary, write_summary
from pipeline.records.time_logs import TIME_FILE
from pipeline.report.images import FIGURE_FOLDERS
from pipeline.tracking.descriptions import describe_report, join_paragraphs
from pipeline.tracking.tracking_process import TrackingProcess
from pipeline.training.attention_entropy import MAX_CLIPS, attention_callbacks
from pipeline.training.checkpoint import remove_initial, save_initial
from pipeline.training.fit import FitHooks, FitResult, fit
from pipeline.workflows.attention import measure_attention
from pipeline.workflows.evaluate import build_and_write, log_report
from pipeline.workflows.features import column_values, describe_features, log_features
from pipeline.workflows.prediction_intervals import (
    calibrate_held_out,
    coverage_in_halves,
    unseen_groups,
)
from pipeline.workflows.scoring import Scores, fit_run_baselines, ridge_metrics, score
from pipeline.workflows.session import Session, open_session

_logger = logging.getLogger(__name__)

_ARTIFACTS = (
    *("summary.json", "data.json", "split.csv", "conformal.json", "batch_metrics"),
    *("time_tracking", "lr_tracking", "attention.npz", "events.jsonl", "report.html"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """Inputs of a training run."""

    config: ExperimentConfig
    features: FeatureSet
    split: Split
    run_name: str = ""
    """Name of the MLflow run; empty for the default name."""

    @property
    def group_overlap(self) -> dict[str, dict[str, float | int]]:
        """Pair of subsets -> number of shared groups, and fraction of clips in these groups."""
        return group_overlap(self.features.groups, self.split)

    @property
    def num_steps(self) -> int:
        """Number of training steps."""
        training = self.config.training
        return -(-len(self.split.train) // training.batch_size) * training.num_epochs


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """Result of one training run."""

    fit: FitResult
    scores: Scores | None
    """Scores of the held-out clips; None if no clips are held out."""
    report: EvaluationReport | None
    undelivered: str | None
    """Reason why the MLflow run is incomplete; None if the run is complete or not tracked."""


def train_nested(
    run: RunDirectory,
    experiment: Experiment,
    *,
    parent: RunDirectory,
    build: Callable[[], keras.Model],
    hooks: FitHooks | None = None,
    tags: Mapping[str, Any] | None = None,
    tracking: TrackingProcess | None = None,
) -> Outcome:
    """Build and train a model in a new run that is nested in the run `parent`.

    `build` returns the model with its initial weights. The random seed is set before this call.
    """
    seed = experiment.config.seed
    random.seed(seed)  # Keras draws the seeds of new layers from this generator
    np.random.seed(seed)  # noqa: NPY002 - for layers of the user
    network = build()
    if not isinstance(network, PersonalityModel):
        # Only layers of the user draw numbers with this seed. For other networks it is not set,
        # because TensorFlow then prepares all traced functions again, for a second.
        tf.random.set_seed(seed)
    choose_layers(network, experiment.config)
    run.path.mkdir(parents=True, exist_ok=True)
    prepare_directory(run, experiment, network)
    return train_single(
        *(run, experiment, network), parent=parent, hooks=hooks, tags=tags, tracking=tracking
    )


def train_single(
    run: RunDirectory,
    experiment: Experiment,
    network: keras.Model,
    *,
    parent: RunDirectory | None = None,
    hooks: FitHooks | None = None,
    tags: Mapping[str, Any] | None = None,
    tracking: TrackingProcess | None = None,
) -> Outcome:
    """Train and evaluate a model in a prepared run directory.

    `network` has its initial weights. Training continues from a checkpoint if there is one.
    """
    with (
        open_session(
            run,
            experiment.config,
            num_steps=experiment.num_steps,
            run_name=experiment.run_name,
            parent=parent,
            tracking=tracking,
        ) as session,
        DrawingProcesses() as processes,
    ):
        if tags:
            session.run_log.log_tags(tags)
        random_layers = log_experiment(session, experiment, network)
        if experiment.config.evaluation.figures and hooks is None:
            hooks = FitHooks(on_commit=processes.start)  # after the first epoch
        result, baselines = fit_network(session, experiment, network, hooks)
        scores = report = None
        if len(experiment.split.validation):
            scores = score(network, baselines, experiment.features, experiment.split.validation)
            report = evaluate_held_out(session, experiment, scores)
        finalize_run(
            session,
            experiment,
            network,
            result,
            report,
            frozen_at_random=random_layers,
            processes=processes,
        )
    remove_initial(run)
    return Outcome(fit=result, scores=scores, report=report, undelivered=session.mirror.undelivered)


def choose_layers(network: keras.Model, config: ExperimentConfig) -> None:
    """Freeze or unfreeze each layer that matches a pattern of the configuration.

    Raises:
        ModelError: If a pattern matches no layer.
    """
    choose_trainable(network, trainable=config.training.trainable, frozen=config.training.frozen)


def prepare_directory(run: RunDirectory, experiment: Experiment, network: keras.Model) -> None:
    """Write all files that are needed to resume the run. Store a hash of each file."""
    write_split(run.split_path, experiment.features, experiment.split)
    write_data(run.data_path, describe_features(experiment.features))
    description = keras.saving.serialize_keras_object(network)
    write_text(run.architecture_path, json.dumps(description) + "\n")
    save_initial(run, network)
    run.run_log_path.touch()  # a run without its run log cannot be resumed
    # A directory with `config.yaml` counts as resumable, so this file is written last.
    write_config(run.config_path, experiment.config)
    record_files(run, *prepared_files(run))


def prepared_files(run: RunDirectory) -> tuple[Path, ...]:
    """Return the files that `prepare_directory` writes."""
    return (
        *(run.config_path, run.split_path, run.data_path, run.architecture_path),
        run.initial_path,
    )


def log_experiment(
    session: Session, experiment: Experiment, network: keras.Model
) -> tuple[str, ...]:
    """Log the data, the split and the number of weights before training.

    Returns:
        Paths of the layers that are frozen with random weights.
    """
    features, split = experiment.features, experiment.split
    log_features(
        session.run_log, features, {name: len(rows) for name, rows in split.subsets() if len(rows)}
    )
    weights = count_weights(network)
    params: dict[str, float] = {
        "weights.trainable": weights.trainable,
        "weights.total": weights.total,
    }
    for pair, overlap in experiment.group_overlap.items():
        for name, value in overlap.items():
            params[f"overlap.{pair.replace('/', '_')}.{name}"] = value
    session.run_log.log_params(params)
    frozen = [layer.path for layer in layer_states(network) if layer.is_frozen]
    random_layers = frozen_at_random(network)
    tags = {"frozen_layers": frozen, "layers_frozen_at_random": random_layers}
    session.run_log.log_tags({name: ", ".join(paths) for name, paths in tags.items() if paths})
    if random_layers:
        _logger.warning(
            "These layers are frozen with random weights and will not learn: %s. Remove them from "
            "training.frozen, or load trained weights.",
            ", ".join(random_layers),
        )
    return random_layers


def fit_network(
    session: Session, experiment: Experiment, network: keras.Model, hooks: FitHooks | None = None
) -> tuple[FitResult, Baselines]:
    """Fit and save the model and the baselines."""
    hooks = hooks or FitHooks()
    config, features, split = experiment.config, experiment.features, experiment.split
    forget_files(session.run, *_result_files(session.run))
    baselines = fit_run_baselines(features, split.train, config)
    starts_at_ridge = adapt_network(network, experiment, baselines)
    if starts_at_ridge and hooks.start == "ignored":
        hooks = dataclasses.replace(hooks, start="candidate")
    settings: dict[str, Any] = {
        "batch_size": config.training.batch_size,
        "cache": config.training.cache,
    }
    validation = None
    if len(split.validation):
        validation = LabelledBatches(features, split.validation, **settings)
    callbacks = list(hooks.callbacks)
    if config.evaluation.figures:
        size = inference_batch_size(features, max_size=MAX_CLIPS)
        batches = inference_batches(features, split.validation[:size], batch_size=size)
        inputs = tuple(next(iter(batches), ()))
        callbacks = [*attention_callbacks(network, inputs, session.run_log), *callbacks]
    if validation is not None:

        def log_ridge(epoch: int, _: object = None) -> None:
            if epoch == 0:  # the epochs of Keras begin at 0
                metrics = ridge_metrics(baselines, features, split.validation)
                session.run_log.log_metrics(metrics)

        # While the model trains, MLflow shows its scores beside those of ridge regression.
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=log_ridge))

    def on_commit() -> None:
        session.wake_mirror()
        hooks.on_commit()

    result = fit(
        network,
        LabelledBatches(features, split.train, seed=config.seed, **settings),
        validation,
        config.training,
        run=session.run,
        run_log=session.run_log,
        hooks=dataclasses.replace(hooks, callbacks=callbacks, on_commit=on_commit),
    )
    save_model(network, session.run.model_path)
    write_arrays(session.run.input_example_path, _input_example(features, network))
    save_baselines(session.run.baselines_path, baselines)
    return result, baselines


def evaluate_held_out(session: Session, experiment: Experiment, scores: Scores) -> EvaluationReport:
    """Calibrate the intervals, evaluate the model on held-out clips, and store the results."""
    config, features, split = experiment.config, experiment.features, experiment.split
    # Out-of-fold scores need no training groups, because each fold holds out whole groups.
    training_groups: Names = features.groups[split.train] if len(split.validation) else ()
    unseen = unseen_groups(scores.predictions, training_groups)
    calibration = calibrate_held_out(unseen, config)
    write_calibration(session.run.calibration_path, calibration)
    row_of = {clip_id: row for row, clip_id in enumerate(features.clip_ids.tolist())}
    rows = np.array([row_of[clip_id] for clip_id in scores.predictions.clip_ids])
    report = build_and_write(
        session.run,
        scores,
        "validation",
        config,
        by=column_values(features, rows, config.evaluation.by),
        group_overlap=experiment.group_overlap,
        intervals=coverage_in_halves(calibration, unseen, config),
        traits=features.traits,
    )
    log_report(session.run, session.run_log, report)
    return report


def finalize_run(
    session: Session,
    experiment: Experiment,
    network: keras.Model,
    result: FitResult,
    report: EvaluationReport | None,
    *,
    frozen_at_random: tuple[str, ...],
    processes: DrawingProcesses | None = None,
) -> None:
    """Write the summary and the figures, and log the model and the artifacts.

    `report` is None if no clips are held out. `frozen_at_random` is the result of
    `log_experiment`. After training, random weights can no longer be recognized. `processes` draw
    some of the figures.
    """
    config, split, run_log = experiment.config, experiment.split, session.run_log
    weights, groups = count_weights(network), experiment.features.groups
    summary = Summary(
        name=config.name,
        seed=config.seed,
        num_epochs=len(result.records),
        best_epoch=result.best_epoch,
        monitor=result.monitor,
        best_value=result.best_value,
        trainable_weights=weights.trainable,
        total_weights=weights.total,
        frozen_at_random=frozen_at_random,
        layers=tuple(dataclasses.asdict(layer) for layer in layer_states(network)),
        num_clips={name: len(rows) for name, rows in split.subsets()},
        num_groups={name: len(np.unique(groups[rows])) for name, rows in split.subsets()},
        group_overlap=experiment.group_overlap,
        metrics=report.metrics if report else None,
    )
    write_summary(session.run.summary_path, summary)
    if config.evaluation.figures:
        _visualize(session, experiment, network, result, processes)
    record_files(session.run, *_result_files(session.run))
    run_log.log_tags(
        {
            "best_epoch": result.best_epoch,
            "monitor": result.monitor,
            "mlflow.note.content": _note(experiment, result, report),
        }
    )
    run_log.log_artifacts([*_ARTIFACTS, *FIGURE_FOLDERS])
    if config.tracking.package_model:
        run_log.log_model(
            registered_model=config.tracking.registered_model, alias=config.tracking.alias
        )


def read_best_epoch(run: RunDirectory) -> int:
    """Return the best epoch of a finished run.

    Raises:
        PipelineError: If the summary of the run is missing or damaged.
    """
    check_files(run, run.summary_path)
    return read_summary(run.summary_path).best_epoch


def adapt_network(
    network: keras.Model, experiment: Experiment, baselines: Baselines | None = None
) -> bool:
    """Set the feature moments and the label mean in a new model. Other models do not change.

    With `linear_start: ridge`, the model then predicts the scores of the ridge regression in
    `baselines`. If `baselines` is None, they are fitted here.

    Returns:
        Whether the model predicts the scores of the ridge regression.
    """
    if not isinstance(network, PersonalityModel | EndToEndModel) or network.is_adapted:
        return False
    features, rows = experiment.features, experiment.split.train
    moments = {name: feature_moments(stream, rows) for name, stream in features.streams.items()}
    label_mean = features.checked_labels()[rows].mean(axis=0, dtype=np.float64)
    if not (isinstance(network, PersonalityModel) and network.starts_at_ridge):
        network.adapt(moments, label_mean=label_mean)
        return False
    baselines = baselines or fit_run_baselines(features, rows, experiment.config)
    network.adapt(moments, label_mean=label_mean, linear=_linear_scores(baselines))
    return network.is_linear


def _linear_scores(baselines: Baselines) -> LinearScores:
    """Return the ridge regression as a function of the features in their original units."""
    ridge = baselines.ridge
    # If all training clips lack a feature, its mean is NaN and its coefficients are zero.
    scale = np.nan_to_num(ridge.feature_scale, nan=1.0)
    coefficients = ridge.coefficients / scale[:, None]
    mean = np.nan_to_num(ridge.feature_mean)
    ends = np.cumsum(baselines.widths)[:-1]
    parts = np.split(coefficients, ends)
    return LinearScores(
        coefficients=dict(zip(baselines.stream_names.tolist(), parts, strict=True)),
        intercept=ridge.intercept - mean @ coefficients,
    )


def _result_files(run: RunDirectory) -> tuple[Path, ...]:
    """Return the files of a training run that other commands read."""
    return (
        *(run.path / HISTORY_FILE, run.path / TIME_FILE),
        *(run.path / LEARNING_RATE_FILE, run.input_example_path, run.baselines_path),
        *(run.calibration_path, run.evaluation_path, run.predictions_path("validation")),
        *(run.attention_path, run.summary_path, run.environment_path),
    )


def _input_example(features: FeatureSet, network: keras.Model) -> dict[str, FloatArray]:
    rows = np.arange(min(2, features.num_clips))
    inputs = next(iter(inference_batches(features, rows, batch_size=len(rows))))
    return {tensor.name: array for tensor, array in zip(network.inputs, inputs, strict=True)}


def _visualize(
    session: Session,
    experiment: Experiment,
    network: keras.Model,
    result: FitResult,
    processes: DrawingProcesses | None,
) -> None:
    # The import of Matplotlib would delay the first step of training.
    from pipeline.workflows.visualize import visualize_run

    name, rows = "validation", experiment.split.validation
    if not len(rows):
        name, rows = "training", experiment.split.train
    measured = measure_attention(
        network, experiment.features, rows, split=name, seed=experiment.config.seed
    )
    write_attention(session.run.attention_path, measured)
    visualization = visualize_run(
        session.run, callback_seconds=result.callback_seconds, processes=processes
    )
    for problem in visualization.problems:
        _logger.warning("%s", problem)


def _note(experiment: Experiment, result: FitResult, report: EvaluationReport | None) -> str:
    """Return the description that MLflow shows on the page of the run."""
    config, split = experiment.config, experiment.split
    epochs = f"{len(result.records)} epochs"
    if len(split.validation):
        epochs = f"best epoch {result.best_epoch} of {len(result.records)} by {result.monitor}"
    training = f"Fusion **{config.model.fusion}**, {len(split.train):,} training clips, {epochs}."
    if report is None:
        return join_paragraphs(
            (config.description, training, *describe_scores(experiment.features.traits))
        )
    headline, *rest = describe_report(report, experiment.features.traits).split("\n\n")
    return join_paragraphs((headline, config.description, training, *rest))
