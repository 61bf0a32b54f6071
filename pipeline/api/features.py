"""Build feature sets from Python.

Shapes: N clips, T time steps, D features, K traits.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.api.display import Displayed
from pipeline.api.inputs import PathLike, config_from, path_of, paths_of, text_of
from pipeline.config.extraction import ExtractionConfig, uses_network
from pipeline.config.loading import load_extraction_config
from pipeline.core.number_format import count
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.data.feature_set import FeatureSet, load_feature_set
from pipeline.data.readers.annotations import read_labels
from pipeline.data.readers.label_table import LabelOptions
from pipeline.data.time_steps import ResampleMethod
from pipeline.workflows.features import log_feature_warnings
from pipeline.workflows.prepare import MissingStreams, open_streams, prepare_feature_set


class FeatureSetResult(Displayed):
    """A feature set that `extract` or `prepare` has written.

    Args:
        features: The feature set.
        path: Directory of the feature set.
        notes: Messages about groups and unmatched clips.
        failed: Clips that could not be used, each with the reason.
    """

    def __init__(
        self,
        features: FeatureSet,
        path: Path,
        *,
        notes: Sequence[str] = (),
        failed: Iterable[str] = (),
    ) -> None:
        self.path = path
        """Directory of the feature set."""
        self.notes = tuple(notes)
        """Messages about groups and unmatched clips."""
        self.failed = tuple(failed)
        """Clips that could not be used, each with the reason."""
        self._features = features

    @property
    def clips(self) -> pd.DataFrame:
        """Table of the N clips, with the columns `clip_id` and `group`."""
        return self._features.clips

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Stream -> shape of its array, (N, T, D) or (N, D)."""
        return {name: tuple(stream.shape) for name, stream in self._features.streams.items()}

    @property
    def labels(self) -> pd.DataFrame | None:
        """Annotated scores in [0, 1]: index `clip_id`, K columns; None without labels."""
        features = self._features
        if features.labels is None:
            return None
        index = pd.Index(features.clip_ids, name="clip_id")
        return pd.DataFrame(features.labels, index=index, columns=list(features.trait_names))

    def _title(self) -> str:
        groups = self.clips["group"].nunique()
        return f"Feature set {self.path}: {count(len(self.clips), 'clip')}, {groups:,} groups"

    def _values(self) -> Mapping[str, str]:
        traits = self._features.trait_names if self._features.labels is not None else ()
        return {
            **{name: " x ".join(map(str, shape)) for name, shape in self.shapes.items()},
            "labels": ", ".join(traits) or "none",
            "failed": count(len(self.failed), "clip") if self.failed else "",
            **{f"note {number}": note for number, note in enumerate(self.notes, start=1)},
        }


def prepare(
    features_dir: PathLike,
    streams: Mapping[str, PathLike],
    *,
    labels: PathLike | Sequence[PathLike] | None = None,
    label_range: tuple[float, float] | None = None,
    traits: Sequence[str] = (),
    trait_columns: Mapping[str, str] | None = None,
    reverse: Sequence[str] = (),
    id_column: str = "",
    groups: PathLike | None = None,
    clips: PathLike | None = None,
    formats: Mapping[str, str] | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    num_steps: int | None = None,
    resample: ResampleMethod = "mean",
    missing_streams: MissingStreams = "error",
    allow_unlabelled: bool = False,
) -> FeatureSetResult:
    """Build a feature set from feature files, label tables and groups, joined by clip id.

    This function does the same as the command `prepare`.

    Args:
        features_dir: New or empty directory for the feature set.
        streams: Name of each stream -> file with all clips, or folder with one file per clip.
        labels: Label tables (`.csv`, `.tsv`, `.parquet`, `.xlsx`) or ChaLearn pickles.
        label_range: Lowest and highest possible annotation, for instance `(1, 7)`; (0, 1) by
            default.
        traits: Traits to read; the five OCEAN traits by default.
        trait_columns: Trait -> column of the label tables, for columns with other names.
        reverse: Traits whose scores x become 1 - x.
        id_column: Column of the clip ids in tables; found by its name by default.
        groups: Person or source video of each clip: a CSV file with `clip_id` and `group`,
            `folder`, `prefix`, or `regex:PATTERN`. By default, a column `group`, or the names of
            the clips.
        clips: CSV file with `clip_id`: the clips to use, in the row order of arrays.
        formats: Stream -> format of its tables; detected by default.
        columns: Stream -> patterns of its columns, for instance `["AU*_r", "gaze*"]`.
        num_steps: Number of time steps T; by default 16, unless all clips have equal lengths.
        resample: How frames become steps: `mean` of each window, or `nearest` frame.
        missing_streams: For clips that lack a stream: `error`, `drop` or `mask`.
        allow_unlabelled: Whether to omit clips without annotation instead of raising an error.

    Raises:
        PipelineError: If the files do not fit together. The message names the file and the fix.

    Example:
        >>> pipeline.prepare("features/mine", {"face": "openface/"}, labels="likert.csv",
        ...                  label_range=(1, 5), groups="people.csv")
    """
    options = _label_options(traits, id_column, trait_columns, label_range, reverse)
    annotations, target = paths_of(labels), Path(features_dir).expanduser()
    notes: list[str] = []
    prepare_feature_set(
        open_streams(
            {name: Path(path).expanduser() for name, path in streams.items()},
            formats=formats or {},
            columns=columns or {},
            num_steps=num_steps,
            resample=resample,
            id_column=id_column,
        ),
        target,
        labels=read_labels(annotations, options) if annotations else None,
        annotations=annotations,
        clips=path_of(clips),
        groups=text_of(groups),
        missing_streams=missing_streams,
        allow_unlabelled=allow_unlabelled,
        report=notes.append,
    )
    features = load_feature_set(target)
    log_feature_warnings(features)
    return FeatureSetResult(features, target, notes=notes)


def extract(
    features_dir: PathLike,
    *,
    videos_dir: PathLike | None = None,
    face_dir: PathLike | None = None,
    flow_dir: PathLike | None = None,
    labels: PathLike | Sequence[PathLike] | None = None,
    label_range: tuple[float, float] | None = None,
    traits: Sequence[str] = (),
    trait_columns: Mapping[str, str] | None = None,
    reverse: Sequence[str] = (),
    id_column: str = "",
    groups: PathLike | None = None,
    config: str | Path | Mapping[str, Any] | ExtractionConfig | None = None,
    settings: Mapping[str, Any] | None = None,
    num_workers: int | None = None,
    engine: Literal["local", "ray"] = "local",
) -> FeatureSetResult:
    """Extract a feature set from videos, or from face images and optical flow.

    This function does the same as the command `extract`. A second call continues an interrupted
    extraction. Worker processes import the main module again, so a script must call this function
    below `if __name__ == "__main__":`.

    Args:
        features_dir: Directory for the feature set.
        videos_dir: Directory of videos, searched with its subdirectories.
        face_dir: Directory with one folder of face images per clip, instead of faces from videos.
        flow_dir: Directory with one folder of flow fields per clip, instead of flow from videos.
        labels: Label tables or ChaLearn pickles; see `prepare`.
        label_range: Lowest and highest possible annotation; see `prepare`.
        traits: Traits to read; see `prepare`.
        trait_columns: Trait -> column; see `prepare`.
        reverse: Traits that are reversed; see `prepare`.
        id_column: Column of the clip ids; see `prepare`.
        groups: Person or source video of each clip; see `prepare`.
        config: Path or name of an extraction file, dotted names and values of settings, or an
            `ExtractionConfig`.
        settings: Dotted name -> value of settings that have priority over the file.
        num_workers: Number of worker processes or Ray actors; 2 by default.
        engine: `local` for processes on this machine, or `ray`.

    Raises:
        PipelineError: If the input is not valid, or no clip can be used.

    Example:
        >>> pipeline.extract("features/mine", videos_dir="videos", labels="likert.csv",
        ...                  label_range=(1, 5), settings={"sampling.num_steps": 32})
    """
    from pipeline.extraction.run import DEFAULT_WORKERS, extract_features

    options = _label_options(traits, id_column, trait_columns, label_range, reverse)
    chosen = config_from(config, settings or {}, ExtractionConfig, load_extraction_config)
    if uses_network(chosen):
        import_tensorflow_quietly()
    notes: list[str] = []
    outcome = extract_features(
        features_dir=Path(features_dir).expanduser(),
        videos_dir=path_of(videos_dir),
        face_dir=path_of(face_dir),
        flow_dir=path_of(flow_dir),
        annotations=paths_of(labels),
        label_options=options,
        groups=text_of(groups),
        config=chosen,
        num_workers=num_workers or DEFAULT_WORKERS,
        engine=engine,
        report=notes.append,
    )
    warnings = (f"{clip_id}: {text}" for clip_id, text in outcome.warnings.items())
    return FeatureSetResult(
        load_feature_set(outcome.features_dir),
        outcome.features_dir,
        notes=(*notes, *warnings),
        failed=(f"{clip.clip_id}: {clip.reason} ({clip.stage})" for clip in outcome.failed),
    )


def _label_options(
    traits: Sequence[str],
    id_column: str,
    trait_columns: Mapping[str, str] | None,
    label_range: tuple[float, float] | None,
    reverse: Sequence[str],
) -> LabelOptions:
    """Return the options of label tables, checked in the same way as those of a command."""
    columns = (trait_columns or {}).items()
    return LabelOptions.parse(
        traits=",".join(traits),
        id_column=id_column,
        trait_columns=",".join(f"{trait}={column}" for trait, column in columns),
        label_range=",".join(map(str, label_range or ())),
        reverse=",".join(reverse),
    )
