"""Settings for training without a configuration file, chosen from the number of training clips.

The table in this module is the only definition of these settings. experiments/RESULTS.md contains
the measurements on which the table is based.

- For all sizes, the scores before training are those of ridge regression. They change only if an
  epoch is clearly better on the validation clips (`model.linear_start`). On a few hundred clips of
  pooled features, no network was better.
- The other layers get more weights and less regularization with more clips. They are needed if the
  streams are sequences that must be combined.
- The values for up to 10,000 clips are near those of experiments/demo.yaml. With more clips, the
  model is wider.
- Training stops early, so `training.num_epochs` is an upper limit.
"""

from collections.abc import Collection
from typing import Any, Final

from pipeline.config.loading import with_overrides
from pipeline.config.schema import ExperimentConfig
from pipeline.core.installation import program

_SETTINGS: Final = (
    *("model.fusion_dim", "model.num_tokens", "model.dropout_rate", "training.batch_size"),
    *("training.learning_rate", "training.weight_decay"),
)
_TABLE: Final = (
    # up to this number of training clips -> values of _SETTINGS
    (1_000, (16, 4, 0.3, 32, 1e-3, 0.1)),
    (10_000, (48, 4, 0.1, 128, 2e-3, 0.01)),
    (float("inf"), (64, 8, 0.1, 128, 2e-3, 0.01)),
)
_ALWAYS: Final = {"training.num_epochs": 50, "training.early_stopping_patience": 15}
_RIDGE: Final = {"model.linear_start": "ridge"}
_PLACE: Final = "pipeline/config/size_defaults.py"


def settings_for_size(num_clips: int) -> dict[str, Any]:
    """Return dotted name -> value of each setting for a number of training clips."""
    values = next(values for limit, values in _TABLE if num_clips <= limit)
    return {**dict(zip(_SETTINGS, values, strict=True)), **_RIDGE, **_ALWAYS}


def with_size_defaults(
    config: ExperimentConfig, given: Collection[str], *, num_clips: int, has_images: bool = False
) -> tuple[ExperimentConfig, str]:
    """Apply the settings for a number of training clips, except the settings `given` by the user.

    The linear model starts at zero if a stream contains images (`has_images`), or if
    `model.linear_skip` is false.

    Returns:
        The configuration, and one line that names the chosen settings.
    """
    chosen = settings_for_size(num_clips)
    if has_images or not config.model.linear_skip:
        chosen = {name: value for name, value in chosen.items() if name not in _RIDGE}
    chosen = {name: value for name, value in chosen.items() if name not in given}
    if (width := chosen.get("model.fusion_dim")) and width % config.model.num_heads:
        # Round the width up to a multiple of the given number of heads.
        chosen["model.fusion_dim"] = -(-width // config.model.num_heads) * config.model.num_heads
    config = with_overrides(config, chosen, source=_PLACE)
    texts = ", ".join(f"{name}={value}" for name, value in chosen.items())
    line = f"settings for {num_clips} training clips: {texts or 'all given'}"
    return config, f"{line}; to list all settings: {program()} config"
