"""One training run, whole: features in, an evaluated and tracked run directory out."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pipeline.config.loading import load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import RunError
from pipeline.core.model_path import check_model_path
from pipeline.core.run_directory import (
    RUNS_DIR,
    RunDirectory,
    create_run_directory,
    open_run_directory,
)
from pipeline.core.run_log import check_run_log, effective_events, read_events, read_last_status
from pipeline.core.traits import TraitLabel
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, read_split, split_feature_set
from pipeline.models.build import StreamSpec, build_model
from pipeline.models.persistence import load_architecture, load_model, save_model
from pipeline.models.trainability import LayerState, layer_states
from pipeline.records.data_description import read_data
from pipeline.records.epochs import epoch_records
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.manifest import check_files
from pipeline.tracking.check_store import check_store
from pipeline.tracking.mirror import deliver_rest
from pipeline.training.checkpoint import initial_path, load_initial, remove_initial
from pipeline.training.fit import history_of, refuse_frozen, refuse_missing_tensorboard
from pipeline.training.keras_settings import refuse_other_settings
from pipeline.workflows.cross_validation import cross_validate, split_into_folds
from pipeline.workflows.features import (
    open_features,
    trainable_labels,
    warn_of_features,
    with_absolute_paths,
)
from pipeline.workflows.scoring import refuse_other_shapes
from pipeline.workflows.subgroups import refuse_unusable_columns
from pipeline.workflows.training_steps import (
    Experiment,
    Outcome,
    choose_layers,
    prepare_directory,
    prepared_files,
    train_single,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRun:
    """A finished training run."""

    run: RunDirectory
    network: keras.Model
    """The model with its best weights."""
    history: keras.callbacks.History
    """Values of every epoch."""
    report: EvaluationReport | None
    """Its evaluation on the held-out clips."""
    group_overlap: dict[str, dict[str, float | int]]
    """Groups that the sides of the split share."""
    layers: tuple[LayerState, ...]
    """Which layers learned."""
    undelivered: str | None
    """Why MLflow does not have all of it; None where it does, or where it is not tracked."""
    traits: tuple[TraitLabel, ...]
    """How the data score each trait; empty if they do not say it."""


def run_training(
    config: ExperimentConfig,
    *,
    run_dir: Path | None = None,
    output: Path | None = None,
    network: keras.Model | None = None,
    features: FeatureSet | None = None,
) -> TrainingRun:
    """Train, evaluate and track one experiment in a new run directory.

    Everything that can be refused is refused before the directory is made.

    Args:
        config: The experiment.
        run_dir: Where the run is kept; a new directory under `runs/` unless given.
        output: Where the model is saved besides; its suffix decides the format.
        network: Model to train; built from `config.model` unless given.
        features: Feature set, if it is open already.

    Raises:
        PipelineError: If the input cannot be used; the message says what to do.
    """
    refuse_other_settings()
    if output is not None:
        check_model_path(output)
    refuse_missing_tensorboard(config.training)
    config = with_absolute_paths(config)
    features = features or open_features(config.data)
    trainable_labels(features)
    warn_of_features(features)
    experiment = Experiment(config=config, features=features, split=_split(config, features))
    held_out = experiment.split.validation
    if config.training.num_folds:
        split_into_folds(experiment)
        held_out = experiment.split.train
    refuse_unusable_columns(features, held_out, config.evaluation.by)
    if config.tracking.enabled:
        check_store(config.tracking.experiment)
    keras.utils.set_random_seed(config.seed)
    if network is None:
        network = build_for(config, features)
    choose_layers(network, config)
    refuse_frozen(network)
    refuse_other_shapes(network, features)

    run = create_run_directory(run_dir, name=config.name, parent=RUNS_DIR)
    try:
        prepare_directory(run, experiment, network)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return _train(run, experiment, network, output)


def resume_training(run_dir: Path, *, output: Path | None = None) -> TrainingRun:
    """Continue a run that was killed, in its directory and in its MLflow run.

    The values are those that the uninterrupted run would have had. A run that has
    finished is left as it is.

    Raises:
        RunError: If the directory holds no run, or its features are not what they were.
    """
    refuse_other_settings()
    if output is not None:
        check_model_path(output)
    run = open_run_directory(run_dir)
    check_run_log(run)
    is_finished = read_last_status(run) == "FINISHED"
    gone = initial_path(run.checkpoints_dir) if is_finished else None  # removed at the end
    check_files(run, *(path for path in prepared_files(run) if path != gone))
    config = load_run_config(run.config_path)
    refuse_missing_tensorboard(config.training)
    features = open_features(config.data)
    if read_data(run.data_path).digest != features.digest:
        raise RunError(
            f"{run.path}: the features have changed since the run began, so it cannot go on to "
            "the same result. Restore them, or start a new run."
        )
    experiment = Experiment(config=config, features=features, split=_stored_split(run, features))
    if is_finished:
        return _finished(run, experiment, output)
    keras.utils.set_random_seed(config.seed)
    return _train(run, experiment, _stored_network(run, config), output)


def build_for(config: ExperimentConfig, features: FeatureSet) -> keras.Model:
    """Build the configured model for the shapes of a feature set."""
    static, dynamic = (
        StreamSpec(
            width=stream.width,
            num_steps=stream.num_steps,
            masked=stream.has_mask,
            picture=stream.image_size,
            source=str(stream.parts[0].path),
        )
        for stream in (features.static, features.dynamic)
    )
    return build_model(config.model, static=static, dynamic=dynamic)


def _train(
    run: RunDirectory, experiment: Experiment, network: keras.Model, output: Path | None
) -> TrainingRun:
    try:
        outcome = _fit(run, experiment, network)
    except (KeyboardInterrupt, OSError) as error:
        error.add_note(_how_to_go_on(run))
        raise
    if output is not None:
        save_model(network, output)
    return TrainingRun(
        run=run,
        network=network,
        history=outcome.fit.history,
        report=outcome.report,
        group_overlap=experiment.group_overlap,
        layers=layer_states(network),
        undelivered=outcome.undelivered,
        traits=experiment.features.traits,
    )


def _how_to_go_on(run: RunDirectory) -> str:
    if read_last_status(run) == "FINISHED":
        return (
            "The run has finished. If MLflow lacks some of it: "
            f"`python -m pipeline sync --run_dir {run.path}`."
        )
    return f"Go on with `python -m pipeline train --resume {run.path}`."


def _fit(run: RunDirectory, experiment: Experiment, network: keras.Model) -> Outcome:
    if experiment.config.training.num_folds:
        return cross_validate(run, experiment, network, build=_rebuilder(run, experiment.config))
    return train_single(run, experiment, network)


def _finished(run: RunDirectory, experiment: Experiment, output: Path | None) -> TrainingRun:
    """Return a run that needs nothing more, as it is on disk."""
    check_files(run, run.evaluation_path)
    # Removes what a kill at the end of the run has left; a read-only run stays as it is.
    with contextlib.suppress(RunError), run.locked():
        remove_initial(run.checkpoints_dir)
    network = load_model(run.model_path)
    if output is not None:
        save_model(network, output)
    events = effective_events(read_events(run.run_log_path))
    return TrainingRun(
        run=run,
        network=network,
        history=history_of(epoch_records(events)),
        report=read_report(run.evaluation_path) if run.evaluation_path.exists() else None,
        group_overlap=experiment.group_overlap,
        layers=layer_states(network),
        undelivered=deliver_rest(run),
        traits=experiment.features.traits,
    )


def _split(config: ExperimentConfig, features: FeatureSet) -> Split:
    split = split_feature_set(
        features,
        validation_fraction=config.data.validation_fraction,
        test_fraction=config.data.test_fraction,
        seed=config.seed,
        needs_validation=not config.training.num_folds,
    )
    if not config.training.num_folds:
        return split
    # The model that cross-validation keeps has seen every clip of the folds.
    return Split(
        train=np.concatenate([split.train, split.validation]),
        validation=split.validation[:0],
        test=split.test,
    )


def _stored_split(run: RunDirectory, features: FeatureSet) -> Split:
    sides = read_split(run.split_path).set_index("clip_id")["split"]
    side = sides.reindex(features.clip_ids).to_numpy()
    train, validation, test = (
        np.flatnonzero(side == name) for name in ("train", "validation", "test")
    )
    return Split(train=train, validation=validation, test=test)


def _stored_network(run: RunDirectory, config: ExperimentConfig) -> keras.Model:
    """Return the run's model as it was before its first epoch."""
    network = load_architecture(run.architecture_path)
    load_initial(run.checkpoints_dir, network)
    choose_layers(network, config)
    return network


def _rebuilder(run: RunDirectory, config: ExperimentConfig) -> Callable[[], keras.Model]:
    return lambda: _stored_network(run, config)
