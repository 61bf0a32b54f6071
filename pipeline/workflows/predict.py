"""Predict scores with a trained model. Write a score table and an optional attention table."""

import contextlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.config.schema import DataConfig
from pipeline.core.arrays import IntArray
from pipeline.core.errors import ConfigError
from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory, open_run_directory
from pipeline.core.traits import TraitLabel
from pipeline.data.encoder import check_encoder
from pipeline.data.feature_set import FeatureSet
from pipeline.evaluation.score_table import check_table_path, score_table, write_table
from pipeline.models.standardize import FAR, standardize_layers
from pipeline.records.summary import RIDGE_NOTE
from pipeline.workflows.attention import attention_table, check_explainable
from pipeline.workflows.features import open_features, recorded_streams
from pipeline.workflows.raw_clips import RawClips, check_kind, extract_as_trained
from pipeline.workflows.scoring import absence_caveats, check_outputs, check_shapes, predict
from pipeline.workflows.trained_model import (
    TrainedModel,
    fetch_trained_model,
    load_trained_model,
)

_logger = logging.getLogger(__name__)

SCORE_UNITS: Final = "score"
"""Scores are in [0, 1]."""

ORIGINAL_UNITS: Final = "original"
"""Scores are in the range that the annotations had before scaling to [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Predicted scores, and paths of the written files."""

    table: pd.DataFrame
    """Columns: `clip_id`, and for each trait the score and both limits of the interval."""
    units: str
    """Units of the scores and limits: `score` ([0, 1]) or `original` (range of the annotations)."""
    level: float
    """Probability that an interval contains the annotated score."""
    output: Path | None
    """Path of the score table; None if no file was requested."""
    explanation: Path | None
    """Path of the attention table; None if it was not requested."""
    failures: tuple[str, ...] = ()
    """Clips whose extraction failed, each with the reason."""
    trait_names: tuple[str, ...]
    """Names of the predicted traits."""
    traits: tuple[TraitLabel, ...] = ()
    """Meaning of the scores of each trait in the training data; empty if unknown."""


Clips: TypeAlias = DataConfig | RawClips | Mapping[str, NDArray[Any]]
"""Feature set, raw clips, or arrays of a feature set by name, e.g. `static` and `static_mask`."""


def predict_clips(
    clips: Clips,
    *,
    run_dir: Path | None = None,
    model_uri: str = "",
    output: Path | None,
    explain: Path | None = None,
    units: str = SCORE_UNITS,
) -> Prediction:
    """Predict scores of clips with a model from a run or from MLflow. Labels are not needed.

    Args:
        clips: Features, or raw clips. Features of raw clips are extracted with the extraction
            settings of the training features. Arrays must be from the encoder of the training
            features.
        run_dir: Run directory of the model; None to use `model_uri`.
        model_uri: MLflow URI of the model, for example `models:/NAME@ALIAS`.
        output: Path of the score table, with the suffix `.csv`, `.npy` or `.parquet`; None to
            write no file.
        explain: Path of the table of attention weights; None for no table.
        units: `score` for scores and interval limits in [0, 1], or `original` for the range that
            the annotations of the training data had.

    Raises:
        PipelineError: If the model or the clips are not usable, the features of the clips are
            from another encoder than the training features, or the original range is unknown.
    """
    outputs = [path for path in (output, explain) if path is not None]
    for path in outputs:
        check_table_path(path)
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise ConfigError(
            f"{explain}: is given as --output and as --explain. Give two different files."
        )
    if isinstance(clips, RawClips):
        check_no_source(outputs, clips.directories)
    if run_dir is not None:
        trained = load_trained_model(open_run_directory(run_dir))
    else:
        trained = fetch_trained_model(model_uri)
    check_no_run_file(outputs, trained.home)
    if units == ORIGINAL_UNITS and not trained.data.traits:
        raise ConfigError(
            f"--units original: {trained.home.data_path} does not record the range of the "
            "annotations. Omit --units for scores in [0, 1], or create the training features with "
            "`prepare --label_range LOW,HIGH` and train again."
        )
    with _features_of(clips, trained) as (features, failures):
        check_no_source(outputs, features.sources)
        check_encoder(features.encoder, trained.data.encoder, features.features_dir)
        check_shapes(trained.network, features, needs_masks=False)
        check_outputs(trained.network, trained.data.trait_names)
        if explain is not None:
            check_explainable(trained.network, features)
        _warn(trained, features)
        if explain is not None and getattr(trained.network, "is_linear", False):
            _logger.warning("%s: %s", trained.home.model_path, RIDGE_NOTE)
        scores = predict(trained.network, features, np.arange(features.num_clips))
        table = score_table(
            features.clip_ids,
            scores,
            trained.calibration,
            units=trained.data.traits if units == ORIGINAL_UNITS else (),
        )
        if output is not None:
            write_table(output, table)
        if explain is not None:
            write_table(
                explain, attention_table(trained.network, features, trained.data.trait_names)
            )
    return Prediction(
        table=table,
        units=units,
        level=trained.calibration.level,
        output=output,
        explanation=explain,
        failures=failures,
        traits=trained.data.traits,
        trait_names=trained.data.trait_names,
    )


def check_no_source(outputs: Iterable[Path], sources: Sequence[Path]) -> None:
    """Check that no output overwrites an input. `sources` are input files and directories.

    Raises:
        ConfigError: If an output is an input file, or an existing file in an input directory.
    """
    inputs = {source.resolve() for source in sources}
    for output in outputs:
        resolved = output.resolve()
        # A new file in an input directory is allowed, because it does not overwrite an input.
        if resolved in inputs or (output.exists() and inputs.intersection(resolved.parents)):
            raise ConfigError(
                f"{output}: exists already and belongs to the input clips. "
                "Give another output file."
            )


def check_no_run_file(outputs: Iterable[Path], run: RunDirectory) -> None:
    """Check that no output overwrites a file of the run: the split, or predictions.

    Raises:
        ConfigError: If an output is the split, or is in the directory of the predictions.
    """
    predictions = run.predictions_path("all").resolve().parent
    for output in outputs:
        resolved = output.resolve()
        if resolved == run.split_path.resolve() or predictions in resolved.parents:
            raise ConfigError(f"{output}: is reserved for files of the run. Give another file.")


@contextlib.contextmanager
def _features_of(
    clips: Clips, trained: TrainedModel
) -> Iterator[tuple[FeatureSet, tuple[str, ...]]]:
    """Yield the features and the failed clips; remove temporary files at the end."""
    if isinstance(clips, DataConfig):
        yield open_features(recorded_streams(clips, trained.data), needs_group=False), ()
        return
    if isinstance(clips, Mapping):
        with tempfile.TemporaryDirectory(prefix="arrays-") as directory:
            for name, array in clips.items():
                np.save(Path(directory) / f"{name}.npy", array, allow_pickle=False)
            write_json(Path(directory) / "features.json", {"encoder": trained.data.encoder})
            given = DataConfig(features_dir=directory)
            yield open_features(recorded_streams(given, trained.data), needs_group=False), ()
        return
    check_kind(clips, trained.data.encoder)
    with contextlib.ExitStack() as stack:
        work_dir = clips.work_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        features_dir, failures = extract_as_trained(clips, trained.data.settings, work_dir)
        extracted = DataConfig(features_dir=str(features_dir))
        yield open_features(recorded_streams(extracted, trained.data)), failures


def _warn(trained: TrainedModel, features: FeatureSet) -> None:
    for name, rows in _outliers(trained, features).items():
        _logger.warning(
            "%s: the %s features of %d clips (the first is %s) are %g or more standard deviations "
            "from the training features. The scores of these clips are meaningless. Check how the "
            "features were created.",
            *(features.sources[0].parent, name, len(rows), features.clip_ids[rows[0]], FAR),
        )
    for warning in absence_caveats(trained.network, features):
        _logger.warning("%s", warning)
    if trained.calibration.warning:
        _logger.warning("%s", trained.calibration.warning)
    if caveat := trained.encoder_caveat(features):
        _logger.warning("%s", caveat)


def _outliers(trained: TrainedModel, features: FeatureSet) -> dict[str, IntArray]:
    """Return stream -> row numbers of the clips with features far from the training mean."""
    layers = standardize_layers(trained.network)
    found: dict[str, IntArray] = {}
    for stream in features.streams.values():
        if stream.name in layers:
            is_far = [
                layers[stream.name].is_far(values, stream.read_mask(rows))
                for rows, values in stream.chunks()
            ]
            if (far := np.flatnonzero(np.concatenate(is_far))).size:
                found[stream.name] = far
    return found
