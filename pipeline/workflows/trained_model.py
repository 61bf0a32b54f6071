"""Load a trained model and its files, from a run directory or from MLflow."""

import re
from dataclasses import dataclass
from pathlib import Path

import keras
import pandas as pd

from pipeline.config.loading import load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.data.encoder import encoder_caveat
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import read_split
from pipeline.models.persistence import load_model as load_model_file
from pipeline.records.calibration import Calibration, read_calibration
from pipeline.records.data_description import DataDescription, read_data
from pipeline.records.manifest import check_files


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A trained model with its files."""

    home: RunDirectory
    """Run directory, or a downloaded model package with the same file names."""
    network: keras.Model
    """The model with its best weights."""
    config: ExperimentConfig
    """Configuration of the training run."""
    calibration: Calibration
    """Calibration of the prediction intervals."""
    data: DataDescription
    """Description of the training features."""
    split: pd.DataFrame
    """Split of the training run, with the columns `clip_id`, `group` and `split`."""

    def encoder_caveat(self, features: FeatureSet) -> str | None:
        """Return the reason why the features may not fit the model; None if they fit."""
        if features.digest == self.data.digest:
            return None
        return encoder_caveat(features.encoder, self.data.encoder, features.features_dir)


def load_trained_model(run: RunDirectory) -> TrainedModel:
    """Load the model of a run.

    Raises:
        PipelineError: If the directory belongs to a search, the run has no model yet, or a file of
            the run is damaged.
    """
    if run.search_dir.exists():
        raise RunError(
            f"{run.path}: is the directory of a search. Give one of the run directories in "
            f"{run.path / 'refits'}."
        )
    if not run.model_path.exists():
        raise RunError(
            f"{run.path}: has no model.keras yet. Finish the training with "
            f"`python -m pipeline train --resume {run.path}`."
        )
    return _load(run)


def fetch_trained_model(model_uri: str) -> TrainedModel:
    """Download and load a model from MLflow, e.g. `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises:
        PipelineError: If the download fails, or `train` did not log this model.
    """
    return _load(RunDirectory(_download(model_uri)))


def load_model(source: str | Path) -> keras.Model:
    """Load a trained model for prediction.

    Args:
        source: A `.keras` or `.h5` file, a run directory, or the MLflow URI of a model, for
            example `models:/NAME@ALIAS`.

    Raises:
        PipelineError: If the model does not exist or cannot be loaded.
    """
    # A URI scheme needs two or more letters, because `C:` is a Windows drive.
    if isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]+:/", source):
        return load_model_file(_download(source) / "model.keras")
    path = Path(source)
    return load_model_file(RunDirectory(path).model_path if path.is_dir() else path)


def _download(model_uri: str) -> Path:
    # The import of MLflow takes most of a second, and a run directory does not need it.
    from pipeline.tracking.existing_runs import download_model

    return download_model(model_uri)


def _load(home: RunDirectory) -> TrainedModel:
    check_files(home, home.config_path, home.split_path, home.calibration_path, home.data_path)
    data = read_data(home.data_path)
    return TrainedModel(
        home=home,
        network=load_model_file(home.model_path),
        config=load_run_config(home.config_path),
        calibration=read_calibration(home.calibration_path, data.trait_names),
        data=data,
        split=read_split(home.split_path),
    )
