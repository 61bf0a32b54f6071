"""Fit one model on one split, save it, and judge it by its baselines."""

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.config.loading import write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.arrays import FloatArray
from pipeline.core.files import write_arrays, write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import directions
from pipeline.data.batches import InferenceBatches, LabelledBatches, inference_batch_size
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, group_overlap, write_split
from pipeline.data.stream import feature_moments
from pipeline.evaluation.baselines import Baselines, save_baselines
from pipeline.models.complete_personality_model import CompletePersonalityModel
from pipeline.models.end_to_end import EndToEndModel
from pipeline.models.persistence import save_model
from pipeline.models.random_weights import frozen_at_random
from pipeline.models.summary import count_weights
from pipeline.models.trainability import choose_trainable, layer_states
from pipeline.records.attention import write_attention
from pipeline.records.data_description import DataDescription, write_data
from pipeline.records.evaluation import EvaluationReport
from pipeline.records.lr_logs import LEARNING_RATE_FILE
from pipeline.records.manifest import check_files, forget_files, record_files
from pipeline.records.metrics_history import HISTORY_FILE
from pipeline.records.predictions import Names
from pipeline.records.summary import Summary, read_summary, write_summary
from pipeline.records.time_logs import TIME_FILE
from pipeline.training.attention_entropy import MAX_CLIPS, attention_callbacks
from pipeline.training.checkpoint import initial_path, remove_initial, save_initial
from pipeline.training.fit import FitHooks, FitResult, fit
from pipeline.workflows.attention import measure_attention
from pipeline.workflows.evaluate import conclude_evaluation
from pipeline.workflows.scoring import Scores, fit_run_baselines, score
from pipeline.workflows.session import Session, open_session
from pipeline.workflows.visualize import FIGURE_FOLDERS, illustrate

_logger = logging.getLogger(__name__)

_ARTIFACTS = (
    "summary.json",
    "data.json",
    "split.csv",
    "conformal.json",
    "batch_metrics",
    "time_tracking",
    "lr_tracking",
    "attention.npz",
    "events.jsonl",
    "report.html",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """What a run works on."""

    config: ExperimentConfig
    features: FeatureSet
    split: Split

    @property
    def group_overlap(self) -> dict[str, dict[str, float | int]]:
        """Groups that the sides of the split share."""
        return group_overlap(self.features.groups, self.split)

    @property
    def num_steps(self) -> int:
        """Training steps of the whole run."""
        training = self.config.training
        return -(-len(self.split.train) // training.batch_size) * training.num_epochs


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of it."""

    fit: FitResult
    scores: Scores | None
    """Scores of the held-out clips; None where nothing was held out."""
    report: EvaluationReport | None
    undelivered: str | None
    """Why MLflow does not have all of the run; None if it does, or if it is not tracked."""


def train_single(
    run: RunDirectory,
    experiment: Experiment,
    network: keras.Model,
    *,
    parent: RunDirectory | None = None,
    hooks: FitHooks | None = None,
    tags: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train on the split of `experiment` in its own session, from its last checkpoint if any.

    Args:
        run: Where the run is kept.
        experiment: What is trained on what.
        network: The model, with the weights to start from.
        parent: Run that this one is nested in.
        hooks: What the caller adds to the fit.
        tags: What the caller says of the run.
    """
    with open_session(
        run, experiment.config, num_steps=experiment.num_steps, parent=parent
    ) as session:
        if tags:
            session.run_log.log_tags(tags)
        at_random = tell_experiment(session, experiment, network)
        result, baselines = fit_network(session, experiment, network, hooks)
        scores = report = None
        if len(experiment.split.validation):
            scores = score(network, baselines, experiment.features, experiment.split.validation)
            report = judge(session, experiment, scores)
        conclude(session, experiment, network, result, report, at_random=at_random)
    remove_initial(run.checkpoints_dir)
    return Outcome(fit=result, scores=scores, report=report, undelivered=session.mirror.undelivered)


def train_nested(
    run: RunDirectory,
    experiment: Experiment,
    *,
    parent: RunDirectory,
    build: Callable[[], keras.Model],
    hooks: FitHooks | None = None,
    tags: Mapping[str, Any] | None = None,
) -> Outcome:
    """Train a model that is made for it in a run inside of another.

    What is drawn for it is drawn by the seed of its configuration.

    Args:
        run: Where the run is kept; made here.
        experiment: What is trained on what.
        parent: The other run.
        build: Makes the model, with the weights to start from.
        hooks: What the caller adds to the fit.
        tags: What the caller says of the run.
    """
    keras.utils.set_random_seed(experiment.config.seed)
    network = build()
    choose_layers(network, experiment.config)
    run.path.mkdir(parents=True, exist_ok=True)
    prepare_directory(run, experiment, network)
    return train_single(run, experiment, network, parent=parent, hooks=hooks, tags=tags)


def fit_network(
    session: Session, experiment: Experiment, network: keras.Model, hooks: FitHooks | None = None
) -> tuple[FitResult, Baselines]:
    """Fit the network and the baselines, and save both."""
    hooks = hooks or FitHooks()
    config, features, split = experiment.config, experiment.features, experiment.split
    forget_files(session.run, *_result_files(session.run))
    adapt_network(network, experiment)
    settings: dict[str, Any] = {
        "batch_size": config.training.batch_size,
        "cache": config.training.cache,
    }
    validation = (
        LabelledBatches(features, split.validation, **settings) if len(split.validation) else None
    )
    result = fit(
        network,
        LabelledBatches(features, split.train, seed=config.seed, **settings),
        validation,
        config.training,
        run=session.run,
        run_log=session.run_log,
        hooks=dataclasses.replace(
            hooks,
            callbacks=[
                *_watchers(session, experiment, network),
                *hooks.callbacks,
            ],
            on_commit=lambda: _each(session.wake_mirror, hooks.on_commit),
        ),
    )
    save_model(network, session.run.model_path)
    write_arrays(session.run.input_example_path, _input_example(features, network))
    baselines = fit_run_baselines(features, split.train, config)
    save_baselines(session.run.baselines_path, baselines)
    return result, baselines


def judge(session: Session, experiment: Experiment, scores: Scores) -> EvaluationReport:
    """Evaluate the scores of the held-out clips, and keep what comes of it in the run."""
    features, split = experiment.features, experiment.split
    # Without validation clips these are the scores of folds, which held out whole groups.
    seen: Names = features.groups[split.train] if len(split.validation) else ()
    return conclude_evaluation(
        session.run,
        session.run_log,
        features,
        scores,
        experiment.config,
        group_overlap=experiment.group_overlap,
        seen_groups=seen,
    )


def choose_layers(network: keras.Model, config: ExperimentConfig) -> None:
    """Freeze layers, and let them learn, as the configuration says.

    Raises:
        ModelError: If a pattern matches no layer.
    """
    choose_trainable(network, trainable=config.training.trainable, frozen=config.training.frozen)


def adapt_network(network: keras.Model, experiment: Experiment) -> None:
    """Give a new model the statistics of the training clips.

    A model that has been trained, or adapted by its owner, keeps those that its weights were
    fitted to; models of another kind have no place for them.
    """
    if not isinstance(network, CompletePersonalityModel | EndToEndModel) or network.is_adapted:
        return
    features, rows = experiment.features, experiment.split.train
    network.adapt(
        static_moments=feature_moments(features.static, rows),
        dynamic_moments=feature_moments(features.dynamic, rows),
        label_mean=features.checked_labels()[rows].mean(axis=0, dtype=np.float64),
    )


def prepare_directory(run: RunDirectory, experiment: Experiment, network: keras.Model) -> None:
    """Write what a run needs to be resumed, and the digests of it."""
    write_split(run.split_path, experiment.features, experiment.split)
    write_data(run.data_path, describe_features(experiment.features))
    description = keras.saving.serialize_keras_object(network)
    write_text(run.architecture_path, json.dumps(description) + "\n")
    save_initial(run.checkpoints_dir, network)
    run.run_log_path.touch()  # a resume refuses a run whose log is missing
    # The configuration comes after the rest: a directory that has one can be resumed.
    write_config(run.config_path, experiment.config)
    record_files(run, *prepared_files(run))


def prepared_files(run: RunDirectory) -> tuple[Path, ...]:
    """Return the files that `prepare_directory` writes and a resume stands on."""
    return (
        *(run.config_path, run.split_path, run.data_path, run.architecture_path),
        initial_path(run.checkpoints_dir),
    )


def _result_files(run: RunDirectory) -> tuple[Path, ...]:
    """Return the files that a training leaves behind and other commands read."""
    return (
        *(run.path / HISTORY_FILE, run.path / TIME_FILE),
        *(run.path / LEARNING_RATE_FILE, run.input_example_path, run.baselines_path),
        *(run.calibration_path, run.evaluation_path, run.predictions_path("validation")),
        *(run.attention_path, run.summary_path, run.environment_path),
    )


def read_best_epoch(run: RunDirectory) -> int:
    """Return the best epoch of a finished run.

    Raises:
        PipelineError: If its summary is missing or damaged.
    """
    check_files(run, run.summary_path)
    return read_summary(run.summary_path).best_epoch


def tell_experiment(
    session: Session, experiment: Experiment, network: keras.Model
) -> tuple[str, ...]:
    """Tell the run log the data, the split and the size of the model that is to be trained.

    Returns:
        The layers that will keep random weights, which a warning names too.
    """
    features, split = experiment.features, experiment.split
    session.run_log.log_dataset(
        name=features.sources[0].parent.name,
        digest=features.digest,
        source=str(features.sources[0].parent),
        profile=describe_features(features).to_json(),
        splits={name: len(rows) for name, rows in split.subsets() if len(rows)},
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
    at_random = frozen_at_random(network)
    tags = {"frozen_layers": frozen, "layers_frozen_at_random": at_random}
    session.run_log.log_tags({name: ", ".join(paths) or "none" for name, paths in tags.items()})
    if at_random:
        _logger.warning(
            "These layers are frozen with random weights and will not learn: %s. Take them out of "
            "training.frozen, or load weights that are trained.",
            ", ".join(at_random),
        )
    return at_random


def conclude(
    session: Session,
    experiment: Experiment,
    network: keras.Model,
    result: FitResult,
    report: EvaluationReport | None,
    *,
    at_random: tuple[str, ...],
) -> None:
    """Write the summary, and hand model and files to MLflow.

    Args:
        session: Where to.
        experiment: What was trained on what.
        network: The model, trained.
        result: What the fit came to.
        report: The evaluation; None where nothing was held out.
        at_random: What `tell_experiment` said of the model before it was trained.
    """
    weights = count_weights(network)
    summary = Summary(
        name=experiment.config.name,
        seed=experiment.config.seed,
        num_epochs=len(result.records),
        best_epoch=result.best_epoch,
        monitor=result.monitor,
        best_value=result.best_value,
        trainable_weights=weights.trainable,
        total_weights=weights.total,
        frozen_at_random=at_random,
        layers=tuple(dataclasses.asdict(layer) for layer in layer_states(network)),
        num_clips={name: len(rows) for name, rows in experiment.split.subsets()},
        num_groups={
            name: len(np.unique(experiment.features.groups[rows]))
            for name, rows in experiment.split.subsets()
        },
        group_overlap=experiment.group_overlap,
        metrics=report.metrics if report else None,
    )
    write_summary(session.run.summary_path, summary)
    if experiment.config.evaluation.figures:
        _illustrate(session, experiment, network, result)
    record_files(session.run, *_result_files(session.run))
    run_log = session.run_log
    run_log.log_tags(
        {
            "best_epoch": result.best_epoch,
            "monitor": result.monitor,
            "mlflow.note.content": _described(experiment, result, report),
        }
    )
    run_log.log_artifacts([*_ARTIFACTS, *FIGURE_FOLDERS])
    if experiment.config.tracking.package_model:
        tracking = experiment.config.tracking
        run_log.log_model(registered_model=tracking.registered_model, alias=tracking.alias)


def _illustrate(
    session: Session, experiment: Experiment, network: keras.Model, result: FitResult
) -> None:
    """Measure where the model looks, and draw the run."""
    rows = (
        experiment.split.validation if len(experiment.split.validation) else experiment.split.train
    )
    measured = measure_attention(network, experiment.features, rows, seed=experiment.config.seed)
    write_attention(session.run.attention_path, measured)
    illustration = illustrate(session.run, callback_seconds=result.callback_seconds)
    for problem in illustration.problems:
        _logger.warning("%s", problem)


def _each(*calls: Callable[[], None]) -> None:
    for call in calls:
        call()


def _watchers(
    session: Session, experiment: Experiment, network: keras.Model
) -> list[keras.callbacks.Callback]:
    """Return what follows the attention over the epochs, where it will be drawn."""
    if not experiment.config.evaluation.figures:
        return []
    inputs = _entropy_inputs(experiment.features, experiment.split)
    return attention_callbacks(network, inputs, session.run_log)


def _entropy_inputs(features: FeatureSet, split: Split) -> tuple[FloatArray, ...]:
    """Return the inputs of the held-out clips whose attention is watched while training."""
    num_clips = inference_batch_size(features, max_size=MAX_CLIPS)
    rows = split.validation[:num_clips]
    inputs: tuple[FloatArray, ...] = next(
        iter(InferenceBatches(features, rows, batch_size=num_clips)), ()
    )
    return inputs


def _input_example(features: FeatureSet, network: keras.Model) -> dict[str, FloatArray]:
    rows = np.arange(min(2, features.num_clips))
    inputs = next(iter(InferenceBatches(features, rows, batch_size=len(rows))))
    return {tensor.name: array for tensor, array in zip(network.inputs, inputs, strict=True)}


def describe_features(features: FeatureSet) -> DataDescription:
    """Return the content of `data.json`."""
    return DataDescription(
        digest=features.digest,
        num_clips=features.num_clips,
        static_shape=list(features.static.shape),
        dynamic_shape=list(features.dynamic.shape),
        sources=[str(path) for path in features.sources],
        encoder=features.encoder,
        settings=features.metadata.get("settings"),
        traits=features.traits,
        warnings=features.warnings,
    )


def _described(experiment: Experiment, result: FitResult, report: EvaluationReport | None) -> str:
    """Return what the run came to, in words, for the page of the MLflow run."""
    config, split = experiment.config, experiment.split
    epochs = f"{len(result.records)} epochs"
    if len(split.validation):
        epochs = f"best epoch {result.best_epoch} of {len(result.records)} by {result.monitor}"
    training = f"**{config.model.fusion}** on {len(split.train)} clips, {epochs}."
    lines = [config.description, training]
    if report is not None:
        scores = report.metrics
        accuracy, r2 = scores["accuracy"]["mean"], scores["r2"]["mean"]
        ridge = report.baselines["ridge"]
        lines.append(
            f"On {report.num_clips} held-out clips of {report.num_groups} groups: accuracy "
            f"{accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}], R² {r2.value:.3f} "
            f"[{r2.low:.3f}, {r2.high:.3f}]; ridge: accuracy {ridge['accuracy']['mean'].value:.4f}"
            f", R² {ridge['r2']['mean'].value:.3f}."
        )
    lines += directions(experiment.features.traits)
    return "\n\n".join(line.strip() for line in lines if line.strip())
