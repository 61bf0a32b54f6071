"""Read the inputs of a prepared run: the experiment, and the model with its initial weights."""

import keras
import numpy as np

from pipeline.config.loading import load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split, read_split
from pipeline.models.persistence import load_architecture
from pipeline.records.data_description import read_data
from pipeline.training.checkpoint import load_initial
from pipeline.workflows.features import open_features, recorded_columns, select_used_streams
from pipeline.workflows.training_steps import Experiment, choose_layers


def load_experiment(run: RunDirectory) -> Experiment:
    """Return the configuration, the features and the split of a prepared run.

    Raises:
        RunError: If the features have changed since the start of the run.
    """
    config = load_run_config(run.config_path)
    recorded = read_data(run.data_path)
    features = open_features(recorded_columns(config.data, recorded))
    features = select_used_streams(features, config)
    if recorded.digest != features.digest:
        raise RunError(
            f"{run.path}: the features have changed since the run began, so the result would "
            "differ. Restore the features, or start a new run."
        )
    return Experiment(config=config, features=features, split=_stored_split(run, features))


def initial_network(run: RunDirectory, config: ExperimentConfig) -> keras.Model:
    """Return the model of a run with its initial weights."""
    network = load_architecture(run.architecture_path)
    load_initial(run, network)
    choose_layers(network, config)
    return network


def _stored_split(run: RunDirectory, features: FeatureSet) -> Split:
    stored = read_split(run.split_path).set_index("clip_id")["split"]
    subset = stored.reindex(features.clip_ids).to_numpy()
    train, validation, test = (
        np.flatnonzero(subset == name) for name in ("train", "validation", "test")
    )
    return Split(train=train, validation=validation, test=test)
