"""`lr_tracking/lr_logs.json`: the learning rate of every epoch.

Shapes: E epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.records.epochs import EpochRecord
from pipeline.records.typed_json import (
    Amounts,
    Numbers,
    Series,
    check_lengths,
    empty,
    no_numbers,
    read_record,
)

LEARNING_RATE_FILE: Final = "lr_tracking/lr_logs.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningRateLogs:
    """Content of `lr_logs.json`."""

    learning_rate: Amounts
    """Learning rate of the last step of each epoch, shape (E,)."""
    epoch: Numbers = field(default_factory=no_numbers)
    """Numbers of the epochs, shape (E,); counted from 1 if it is empty."""
    is_reduction: Series = field(default_factory=empty)
    """1 where the rate is lower than in the epoch before, else 0, shape (E,)."""

    def __post_init__(self) -> None:
        num_epochs = len(self.learning_rate)
        check_lengths(num_epochs, {"epoch": self.epoch, "is_reduction": self.is_reduction})
        if not self.epoch.size:
            object.__setattr__(self, "epoch", np.arange(1, num_epochs + 1))


def read_lr_logs(path: Path) -> LearningRateLogs:
    """Read `lr_logs.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(LearningRateLogs, path)


def learning_rate_content(epochs: Sequence[EpochRecord], *, frequency: int = 1) -> dict[str, Any]:
    """Return the content of `lr_logs.json`.

    Args:
        epochs: The epochs, from the first on.
        frequency: Not used; every epoch is logged.
    """
    del frequency
    rates = [epoch.learning_rate for epoch in epochs]
    before = [rates[0], *rates[:-1]] if rates else []
    return {
        "epoch": [epoch.epoch for epoch in epochs],
        "learning_rate": rates,
        "is_reduction": [now < past for now, past in zip(rates, before, strict=True)],
    }
