"""Default names of MLflow runs: the experiment, and the settings that are special in the run."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final

from pipeline.config.loading import flatten
from pipeline.config.schema import ExperimentConfig

_MAX_LENGTH: Final = 60
_NEUTRAL: Final = (
    *("name", "description", "tracking.", "search.", "evaluation.", "data.features_dir"),
    *("data.static_features", "data.dynamic_features", "data.labels", "data.clips", "data.streams"),
    *("data.id_column", "data.traits", "data.trait_columns", "data.label_range", "data.reverse"),
    "data.synthetic",
)
"""Settings, or beginnings of settings, that do not appear in a name."""
_FIRST: Final = ("model.fusion", "seed")
"""Settings that come first in a name."""


def default_run_name(config: ExperimentConfig, base: ExperimentConfig | None = None) -> str:
    """Return the experiment's name and the changed settings, e.g. `demo fusion=concat seed=1`.

    If the experiment has no name, the name of the feature directory replaces it.

    Args:
        config: Configuration of the run.
        base: Configuration of the experiment file; None for the defaults.
    """
    base = base or ExperimentConfig()
    values, base_values = flatten(config), flatten(base)
    # A narrow column of MLflow shows only the beginning of a name.
    names = sorted(values, key=lambda name: name not in _FIRST)
    changed = {
        name: values[name]
        for name in names
        if values[name] != base_values.get(name) and not name.startswith(_NEUTRAL)
    }
    name = config.name
    if name == ExperimentConfig().name:
        files = (
            config.data.features_dir,
            config.data.static_features,
            config.data.dynamic_features,
        )
        place = next((PurePath(path) for path in files if path), None)
        if place is not None:
            name = place.parent.name if place.suffix == ".npy" else place.name
    return name_with_settings(name or config.name, changed)


def name_with_settings(name: str, settings: Mapping[str, Any]) -> str:
    """Append settings to a name, without their sections: `trial-0001 num_heads=2 dropout_rate=0.1`.

    If the name would be longer than 60 characters, the number of the other settings ends it.
    """
    parts = [f"{key.rpartition('.')[2]}={_text(value)}" for key, value in settings.items()]
    text = name[:_MAX_LENGTH]
    for number, part in enumerate(parts):
        rest = f" +{len(parts) - number}"
        is_last = number == len(parts) - 1
        if len(f"{text} {part}") + (0 if is_last else len(rest)) > _MAX_LENGTH:
            return text + rest
        text += f" {part}"
    return text


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "+".join(map(_text, value)) or "none"
    if isinstance(value, dict):
        return "+".join(value)
    return str(value)
