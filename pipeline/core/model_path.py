"""Check the path of a model file without importing Keras."""

from pathlib import Path
from typing import Final

from pipeline.core.errors import ModelError
from pipeline.core.files import why_unwritable

WEIGHTS: Final = ".weights.h5"

_CONTENTS: Final = {
    ".keras": "the whole model",
    WEIGHTS: "the weights only",
    ".h5": "the whole model, in the old Keras format",
}
"""Suffix -> content of the file. `.weights.h5` comes first, because it also ends in `.h5`."""


def check_model_path(path: Path) -> None:
    """Check before training that a model can be saved to `path`.

    Raises:
        ModelError: If the suffix is not a model format, or `path` is not writable.
    """
    model_suffix(path)
    if reason := why_unwritable(path):
        raise ModelError(reason)


def model_suffix(path: Path) -> str:
    """Return the suffix of a model file: `.keras`, `.weights.h5` or `.h5`.

    Raises:
        ModelError: If the suffix is not a model format.
    """
    for suffix in _CONTENTS:
        if path.name.endswith(suffix):
            if path.name == suffix:
                break
            return suffix
    formats = ", ".join(f"{suffix} ({content})" for suffix, content in _CONTENTS.items())
    raise ModelError(f"{path}: the suffix is not a model format; use one of {formats}.")
