"""Score clips with a trained model: a table with intervals, and where the model looked.

Shapes: N clips, n clips of a batch, K traits, T steps.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config.schema import DataConfig
from pipeline.core.arrays import IntArray
from pipeline.core.run_directory import open_run_directory
from pipeline.core.traits import TraitLabel
from pipeline.data.encoder import check_encoder
from pipeline.data.feature_set import FeatureSet
from pipeline.evaluation.score_table import check_table_path, score_table, write_table
from pipeline.models.standardize import FAR, standardize_layers
from pipeline.workflows.clip_attention import attention_table, refuse_unexplainable
from pipeline.workflows.features import open_features
from pipeline.workflows.output_checks import (
    refuse_files_of_run,
    refuse_one_file_for_both,
    refuse_sources,
)
from pipeline.workflows.raw_clips import (
    Recordings,
    extract_as_trained,
    refuse_other_recordings,
)
from pipeline.workflows.scoring import predict, refuse_unscorable
from pipeline.workflows.trained_model import (
    TrainedModel,
    fetch_trained_model,
    load_trained_model,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Scored clips, and where they were written."""

    table: pd.DataFrame
    """`clip_id`, and of each trait the score and the ends of its interval."""
    level: float
    """Probability with which an interval holds the score."""
    output: Path
    explanation: Path | None
    """Where the attention was written; None where it was not asked for."""
    failures: tuple[str, ...] = ()
    """Clips that could not be extracted, each with the reason."""
    traits: tuple[TraitLabel, ...] = ()
    """How the training data of the model score each trait; empty if they do not say it."""


def predict_clips(
    clips: DataConfig | Recordings,
    *,
    run_dir: Path | None = None,
    model_uri: str = "",
    output: Path,
    explain: Path | None = None,
) -> Prediction:
    """Score clips, which need no labels, with the model of a run or one that MLflow keeps.

    Args:
        clips: Their features, or the recordings to extract features from with the settings of
            the model.
        run_dir: The run; or else
        model_uri: the model, for instance `models:/NAME@ALIAS`.
        output: Table to write, one row a clip: `.csv`, `.npy` or `.parquet`.
        explain: Table to write with the attention of each trait to each step, if any.

    Raises:
        PipelineError: If the model or the clips cannot be used, or were made for each other
            in no way.
    """
    outputs = [path for path in (output, explain) if path is not None]
    for path in outputs:
        check_table_path(path)
    refuse_one_file_for_both(output, explain)
    if isinstance(clips, Recordings):
        refuse_sources(outputs, clips.directories)
    trained = _open_model(run_dir, model_uri)
    refuse_files_of_run(outputs, trained.home)
    with _features_of(clips, trained) as (features, failures):
        refuse_sources(outputs, features.sources)
        check_encoder(features.encoder, trained.encoder, features.features_dir)
        refuse_unscorable(trained.network, features)
        if explain is not None:
            refuse_unexplainable(trained.network, features)
        _warn(trained, features)
        rows = np.arange(features.num_clips)
        scores = predict(trained.network, features, rows)
        table = score_table(features.clip_ids, scores, trained.calibration)
        write_table(output, table)
        if explain is not None:
            write_table(explain, attention_table(trained.network, features))
    return Prediction(
        table=table,
        level=trained.calibration.level,
        output=output,
        explanation=explain,
        failures=failures,
        traits=trained.traits,
    )


def _open_model(run_dir: Path | None, model_uri: str) -> TrainedModel:
    if run_dir is not None:
        return load_trained_model(open_run_directory(run_dir))
    return fetch_trained_model(model_uri)


@contextlib.contextmanager
def _features_of(
    clips: DataConfig | Recordings, trained: TrainedModel
) -> Iterator[tuple[FeatureSet, tuple[str, ...]]]:
    """Yield the features of clips, and why some have none; temporary files go at the end."""
    if isinstance(clips, DataConfig):
        yield open_features(clips, needs_group=False), ()
        return
    refuse_other_recordings(clips, trained.encoder)
    with contextlib.ExitStack() as stack:
        work_dir = clips.work_dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        features_dir, failures = extract_as_trained(clips, trained.extraction, work_dir)
        yield open_features(DataConfig(features_dir=str(features_dir))), failures


def _warn(trained: TrainedModel, features: FeatureSet) -> None:
    """Say what nobody can promise of these scores."""
    for name, far in _far_clips(trained, features).items():
        _logger.warning(
            "%s: the %s features of %d clips, %s the first, lie %g standard deviations or more "
            "from those that the model was trained on. Their scores mean nothing; look at how "
            "these features were made.",
            *(features.sources[0].parent, name, len(far), features.clip_ids[far[0]], FAR),
        )
    if trained.calibration.warning:
        _logger.warning("%s", trained.calibration.warning)
    if doubt := trained.encoder_doubt(features):
        _logger.warning("%s", doubt)


def _far_clips(trained: TrainedModel, features: FeatureSet) -> dict[str, IntArray]:
    """Return, of each stream that has such, the rows of clips beyond all that was trained on."""
    layers = standardize_layers(trained.network)
    found: dict[str, IntArray] = {}
    for stream in (features.static, features.dynamic):
        if stream.name in layers:
            is_far = [
                layers[stream.name].is_far(values, stream.read_mask(rows))
                for rows, values in stream.chunks()
            ]
            if (far := np.flatnonzero(np.concatenate(is_far))).size:
                found[stream.name] = far
    return found
