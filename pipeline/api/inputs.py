"""Arguments that several functions of the Python interface accept."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pipeline.api.run import Run
from pipeline.config.loading import load_config, with_overrides
from pipeline.config.schema import DataConfig, ExperimentConfig
from pipeline.core.errors import ConfigError
from pipeline.workflows.features import feature_settings
from pipeline.workflows.new_run import with_environment

PathLike: TypeAlias = str | Path

ConfigLike: TypeAlias = str | Path | Mapping[str, Any] | ExperimentConfig | None
"""Configuration: path or name of an experiment file, dotted names -> values, or an object."""

RunLike: TypeAlias = str | Path | Run
"""Run: run directory, `runs:/RUN_ID`, or an object."""

_MODEL_URI = re.compile(r"models:/.+|runs:/[^/]+/.+")

_Config = TypeVar("_Config")


def experiment_config(
    config: ConfigLike, settings: Mapping[str, Any]
) -> tuple[ExperimentConfig, Collection[str] | None, ExperimentConfig | None]:
    """Return the configuration, and the arguments `given` and `base` of `plan_run`.

    `settings` are dotted names and values. They have priority over `config`.

    Raises:
        ConfigError: If the file, a name or a value is not valid.
    """
    if isinstance(config, ExperimentConfig):
        return with_overrides(config, settings, source="settings"), None, None
    path, settings = _path_and_settings(config, settings)
    settings = with_environment(settings)
    given = settings if path is None else None
    return load_config(path, settings), given, load_config(path)


def config_from(
    config: Any, settings: Mapping[str, Any], kind: type[_Config], load: Callable[..., _Config]
) -> _Config:
    """Return a configuration of the class `kind`, which `load` reads from a path and settings."""
    if isinstance(config, kind):
        if settings:
            raise ConfigError(
                f"settings: cannot change a given {kind.__name__}. Use dataclasses.replace, or "
                "give the path of a file."
            )
        return config
    return load(*_path_and_settings(config, settings))


def _path_and_settings(
    config: str | Path | Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> tuple[Path | None, dict[str, Any]]:
    if isinstance(config, Mapping):
        return None, {**config, **settings}
    return None if config is None else Path(config).expanduser(), dict(settings)


def feature_arguments(
    labels: "PathLike | Sequence[PathLike] | None" = None, **files: PathLike | None
) -> dict[str, Any]:
    """Return the settings that select the given features and labels."""
    return feature_settings({name: text_of(path) for name, path in files.items()}, paths_of(labels))


def data_config(
    labels: "PathLike | Sequence[PathLike] | None" = None, **files: PathLike | None
) -> DataConfig | None:
    """Return the given features as a configuration; None if no features are given."""
    settings = feature_arguments(labels, **files)
    return load_config(None, settings).data if settings else None


def text_of(path: PathLike | None) -> str:
    """Return a path as text, without `~`; "" for None."""
    return "" if path is None else str(Path(path).expanduser())


def path_of(path: PathLike | None) -> Path | None:
    """Return a path without `~`; None for None."""
    return None if path is None else Path(path).expanduser()


def paths_of(paths: "PathLike | Sequence[PathLike] | None") -> list[Path]:
    """Return one or several paths as a list."""
    if paths is None:
        return []
    given = [paths] if isinstance(paths, str | Path) else paths
    return [Path(path).expanduser() for path in given]


def model_source(model: RunLike) -> tuple[Path | None, str]:
    """Return the run directory of a model and "", or None and the MLflow URI of the model.

    Raises:
        RunError: If there is no such run.
    """
    if isinstance(model, str) and _MODEL_URI.fullmatch(model):
        return None, model
    return Run.load(model).path, ""
