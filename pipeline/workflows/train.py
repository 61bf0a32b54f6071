"""Train and evaluate a model in a run directory, or resume a killed run."""

import contextlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras

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
from pipeline.models.build import StreamSpec, build_model
from pipeline.models.persistence import load_model, save_model
from pipeline.models.trainability import LayerState, layer_states
from pipeline.records.calibration import read_calibration
from pipeline.records.epochs import epoch_records
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.manifest import check_files
from pipeline.tracking.tracking_process import TrackingProcess
from pipeline.training.checkpoint import remove_initial
from pipeline.training.checks import check_keras_settings, check_tensorboard, check_trainable
from pipeline.training.fit import build_history
from pipeline.workflows.cross_validation import cross_validate
from pipeline.workflows.features import (
    check_columns,
    check_labels_vary,
    log_feature_warnings,
    open_features,
    select_used_streams,
    with_absolute_paths,
)
from pipeline.workflows.folds import split_into_folds
from pipeline.workflows.new_run import new_split
from pipeline.workflows.prepared_run import initial_network, load_experiment
from pipeline.workflows.scoring import check_outputs, check_shapes
from pipeline.workflows.training_steps import (
    Experiment,
    choose_layers,
    prepare_directory,
    prepared_files,
    train_single,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRun:
    """A finished training run."""

    run: RunDirectory
    network: keras.Model
    """The model with its best weights."""
    history: keras.callbacks.History
    """Metrics of each epoch."""
    report: EvaluationReport | None
    """Evaluation on the held-out clips; None if no clips are held out."""
    group_overlap: dict[str, dict[str, float | int]]
    """Pair of subsets -> number of shared groups, and fraction of the clips in the second subset
    that are in these groups."""
    has_test_clips: bool
    """Whether the split has test clips, which are not evaluated yet."""
    layers: tuple[LayerState, ...]
    """State of each layer: trainable or frozen."""
    undelivered: str | None
    """Reason why the MLflow run is incomplete; None if the run is complete or not tracked."""
    traits: tuple[TraitLabel, ...]
    """Meaning of the scores of each trait in the data; empty if unknown."""


def run_training(
    config: ExperimentConfig,
    *,
    run_dir: Path | None = None,
    output: Path | None = None,
    network: keras.Model | None = None,
    features: FeatureSet | None = None,
    run_name: str = "",
    tracking: TrackingProcess | None = None,
) -> TrainingRun:
    """Train and evaluate a model in a new run directory.

    All inputs are checked before the run directory is created. By default, the directory is under
    `runs/`, the model is built from `config.model`, and the features are read from `config.data`.
    If `output` is given, the trained model is also saved to this path. `run_name` is the name of
    the MLflow run if `config.tracking.run_name` is empty. `tracking` is the process
    that tracks the run; by default this process.

    Raises:
        PipelineError: If an input is not valid.
    """
    tracking = tracking or TrackingProcess()
    check_keras_settings()
    if output is not None:
        check_model_path(output)
    check_tensorboard(config.training)
    config = with_absolute_paths(config)
    features = select_used_streams(features or open_features(config.data), config)
    check_labels_vary(features)
    log_feature_warnings(features)
    experiment = Experiment(
        config=config, features=features, split=new_split(config, features), run_name=run_name
    )
    held_out = experiment.split.validation
    if config.training.num_folds:
        split_into_folds(experiment)
        held_out = experiment.split.train
    check_columns(features, config.evaluation.by, held_out)
    if config.tracking.enabled:
        tracking.check_store(config.tracking.experiment)
    keras.utils.set_random_seed(config.seed)
    is_loadable = network is None
    if network is None:
        network = build_for(config, features)
    choose_layers(network, config)
    check_trainable(network)
    check_shapes(network, features)
    check_outputs(network, features.trait_names)

    run = create_run_directory(run_dir, name=config.name, parent=RUNS_DIR)
    try:
        prepare_directory(run, experiment, network)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return _train(run, experiment, network, output, is_loadable=is_loadable, tracking=tracking)


def resume_training(run_dir: Path, *, output: Path | None = None) -> TrainingRun:
    """Continue a killed run in the same run directory and MLflow run.

    The result equals the result of an uninterrupted run. A finished run is not changed.

    Raises:
        RunError: If the directory contains no run, or the features have changed since the start.
    """
    check_keras_settings()
    if output is not None:
        check_model_path(output)
    run = open_run_directory(run_dir)
    check_run_log(run)
    is_finished = read_last_status(run) == "FINISHED"
    removed = run.initial_path if is_finished else None
    check_files(run, *(path for path in prepared_files(run) if path != removed))
    experiment = load_experiment(run)
    config = experiment.config
    check_tensorboard(config.training)
    if is_finished:
        return _read_finished(run, experiment, output)
    keras.utils.set_random_seed(config.seed)
    network = initial_network(run, config)
    return _train(run, experiment, network, output, is_loadable=True)


def build_for(config: ExperimentConfig, features: FeatureSet) -> keras.Model:
    """Build the configured model for the input shapes of a feature set."""
    specs = {
        name: StreamSpec(
            width=stream.width,
            num_steps=stream.num_steps,
            masked=stream.has_mask,
            image_size=stream.image_size,
            can_be_absent=stream.can_be_absent,
            source=str(stream.parts[0].path),
        )
        for name, stream in features.streams.items()
    }
    return build_model(
        config.model,
        specs,
        traits=features.trait_names,
        stream_dropout=config.training.stream_dropout,
    )


def _train(
    run: RunDirectory,
    experiment: Experiment,
    network: keras.Model,
    output: Path | None,
    *,
    is_loadable: bool,
    tracking: TrackingProcess | None = None,
) -> TrainingRun:
    try:
        if experiment.config.training.num_folds:
            outcome = cross_validate(
                run, experiment, network, is_loadable=is_loadable, tracking=tracking
            )
        else:
            outcome = train_single(run, experiment, network, tracking=tracking)
        if warning := read_calibration(
            run.calibration_path, experiment.features.trait_names
        ).warning:
            _logger.warning("%s", warning)
    except (KeyboardInterrupt, OSError) as error:
        advice = f"Resume with `python -m pipeline train --resume {run.path}`."
        if read_last_status(run) == "FINISHED":
            advice = (
                "The run has finished. If MLflow does not have the whole run, use "
                f"`python -m pipeline sync --run_dir {run.path}`."
            )
        error.add_note(advice)
        raise
    return _training_run(
        *(run, experiment, network, output),
        history=outcome.fit.history,
        report=outcome.report,
        undelivered=outcome.undelivered,
    )


def _read_finished(run: RunDirectory, experiment: Experiment, output: Path | None) -> TrainingRun:
    check_files(run, run.evaluation_path)
    # If the run was killed at its end, the initial weights may still exist. In a read-only run
    # directory, locking raises an error, so the weights remain.
    with contextlib.suppress(RunError), run.locked():
        remove_initial(run)
    from pipeline.tracking.mirror import deliver_rest  # this imports MLflow

    events = effective_events(read_events(run.run_log_path))
    return _training_run(
        *(run, experiment, load_model(run.model_path), output),
        history=build_history(epoch_records(events)),
        report=read_report(run.evaluation_path) if run.evaluation_path.exists() else None,
        undelivered=deliver_rest(run),
    )


def _training_run(
    run: RunDirectory,
    experiment: Experiment,
    network: keras.Model,
    output: Path | None,
    *,
    history: keras.callbacks.History,
    report: EvaluationReport | None,
    undelivered: str | None,
) -> TrainingRun:
    if output is not None:
        save_model(network, output)
    return TrainingRun(
        run=run,
        network=network,
        history=history,
        report=report,
        group_overlap=experiment.group_overlap,
        has_test_clips=bool(len(experiment.split.test)),
        layers=layer_states(network),
        undelivered=undelivered,
        traits=experiment.features.traits,
    )
