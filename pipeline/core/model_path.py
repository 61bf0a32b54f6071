"""Where a model can be saved, and in which format: what can be said without loading Keras."""

from pathlib import Path
from typing import Final

from pipeline.core.errors import ModelError
from pipeline.core.files import why_unwritable

WEIGHTS: Final = ".weights.h5"

_CONTENTS: Final = {
    ".keras": "the whole model",
    WEIGHTS: "its weights only",
    ".h5": "the whole model, in the older format of Keras",
}
"""What a file of each suffix holds; a suffix that ends with another one comes before it."""


def check_model_path(path: Path) -> None:
    """Refuse a path that no model can be saved to, before hours of training.

    Raises:
        ModelError: If the suffix names no format, or nothing can be written there.
    """
    model_suffix(path)
    if reason := why_unwritable(path):
        raise ModelError(reason)


def model_suffix(path: Path) -> str:
    """Return `.keras`, `.weights.h5` or `.h5`, the format that a path names.

    Raises:
        ModelError: If it names none.
    """
    for suffix in _CONTENTS:
        if path.name.endswith(suffix):
            if path.name == suffix:
                break
            return suffix
    formats = ", ".join(f"{suffix} ({content})" for suffix, content in _CONTENTS.items())
    raise ModelError(f"{path}: the suffix names no format of a model; use one of {formats}.")
