"""A trained model with what belongs to it, from a run directory or from MLflow."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from pipeline.config.loading import load_run_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import TraitLabel
from pipeline.data.encoder import encoder_caveat
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import read_split
from pipeline.models.persistence import load_model as load_model_file
from pipeline.records.calibration import Calibration, read_calibration
from pipeline.records.data_description import read_data
from pipeline.records.manifest import check_files
from pipeline.tracking.existing_runs import download_model


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A model with what it needs to be used and judged."""

    home: RunDirectory
    """The run, or the artifacts of a packaged model, whose files have the same names."""
    network: keras.Model
    """The model with its best weights."""
    config: ExperimentConfig
    """What it was trained by."""
    calibration: Calibration
    """Where its prediction intervals come from."""
    encoder: Any
    """What made the features that it was trained on, as their `features.json` says it."""
    digest: str
    """Digest of the features that it was trained on; empty where it is not known."""
    extraction: Any
    """The settings that they were extracted with, likewise; None where it does not say."""
    traits: tuple[TraitLabel, ...]
    """How its training data score each trait; empty if they do not say it."""
    split: pd.DataFrame
    """Which clip was on which side when it was trained: `clip_id`, `group`, `split`."""

    def encoder_doubt(self, features: FeatureSet) -> str | None:
        """Return why nobody can tell that features suit the model; None where nothing is open.

        The very features that it was trained on need no description.
        """
        if features.digest == self.digest:
            return None
        return encoder_caveat(features.encoder, self.encoder, features.features_dir)


def load_trained_model(run: RunDirectory) -> TrainedModel:
    """Load the model of a run.

    Raises:
        PipelineError: If the run has no model yet, or one of its files cannot be used.
    """
    if run.search_dir.exists():
        raise RunError(
            f"{run.path}: is a search. Its models are in {run.path / 'refits'}: give one of the "
            "directories there."
        )
    if not run.model_path.exists():
        raise RunError(
            f"{run.path}: has no model.keras yet. Finish its training with "
            f"`python -m pipeline train --resume {run.path}`."
        )
    return _load(run)


def fetch_trained_model(model_uri: str) -> TrainedModel:
    """Fetch a model that MLflow keeps.

    Args:
        model_uri: For instance `runs:/RUN_ID/model` or `models:/NAME@ALIAS`.

    Raises:
        PipelineError: If it cannot be fetched, or is not one that `train` has logged.
    """
    artifacts: Path = download_model(model_uri)
    return _load(RunDirectory(artifacts))


def load_model(source: str | Path) -> keras.Model:
    """Load a trained network, ready to predict.

    Args:
        source: A `.keras` or `.h5` file, a run directory, or the URI of a model that MLflow
            keeps, for instance `models:/NAME@ALIAS`.

    Raises:
        PipelineError: If there is no model, or it cannot be loaded.
    """
    if _is_uri(source):
        return load_model_file(download_model(str(source)) / "model.keras")
    path = Path(source)
    return load_model_file(RunDirectory(path).model_path if path.is_dir() else path)


def _is_uri(source: str | Path) -> bool:
    # One letter is a drive of Windows, no scheme.
    return isinstance(source, str) and re.match(r"[a-z][a-z0-9+.-]+:/", source) is not None


def _load(home: RunDirectory) -> TrainedModel:
    check_files(home, home.config_path, home.split_path, home.calibration_path, home.data_path)
    data = read_data(home.data_path)
    return TrainedModel(
        home=home,
        network=load_model_file(home.model_path),
        config=load_run_config(home.config_path),
        calibration=read_calibration(home.calibration_path),
        encoder=data.encoder,
        digest=data.digest,
        extraction=data.settings,
        traits=data.traits,
        split=read_split(home.split_path),
    )
