"""Writes figures: whole or not at all, and the same figure as the same bytes."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from pipeline.core.errors import PipelineError
from pipeline.core.files import atomic_path
from pipeline.figures.base.style import SCREEN, Style

FORMATS: Final = ("png", "svg", "pdf")
"""File formats that a figure can be written in."""

# Harder compression takes a twelfth more of all drawing time, and saves a twelfth of the size.
_OPTIONS: Final[Mapping[str, Any]] = {
    "png": {"pil_kwargs": {"compress_level": 2}},
    "svg": {},
    "pdf": {},
}


def save_figure(
    figure: Figure,
    path: Path,
    *,
    formats: Iterable[str] = ("png",),
    style: Style = SCREEN,
    alt_text: str = "",
) -> tuple[Path, ...]:
    """Write a figure in one or more formats, each file atomically.

    Args:
        figure: The figure, drawn in `style`.
        path: Where to, without a suffix.
        formats: Any of `FORMATS`.
        style: Style of the figure; gives the resolution.
        alt_text: Sentence that the file carries as its description.

    Returns:
        The files, in the order of `formats`.

    Raises:
        PipelineError: If a format is unknown.
    """
    formats = check_formats(formats)
    paths = tuple(path.with_name(f"{path.name}.{suffix}") for suffix in formats)
    for suffix, target in zip(formats, paths, strict=True):
        with style.applied(), atomic_path(target) as temporary:
            figure.savefig(
                temporary, format=suffix, metadata=_metadata(suffix, alt_text), **_OPTIONS[suffix]
            )
    return paths


def check_formats(formats: Iterable[str]) -> tuple[str, ...]:
    """Return `formats` without repetitions.

    Raises:
        PipelineError: If a format is unknown, or there is none.
    """
    formats = tuple(dict.fromkeys(formats))
    unknown = [suffix for suffix in formats if suffix not in FORMATS]
    if unknown or not formats:
        raise PipelineError(
            f"figures can be written as {', '.join(FORMATS)}; "
            f"found {', '.join(map(repr, unknown)) or 'no format'}. Name one or more of these."
        )
    return formats


def is_blank(path: Path) -> bool:
    """Return whether all pixels of a PNG file have the same colour.

    Raises:
        PipelineError: If the file is not a PNG, or is incomplete.
    """
    try:
        pixels = imread(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: cannot be read as an image ({error}).") from error
    flat = np.reshape(pixels, (-1, pixels.shape[-1]))
    return bool((flat == flat[0]).all())


def _metadata(suffix: str, alt_text: str) -> dict[str, Any]:
    """Return what the file says of itself: no dates and no versions, so that bytes repeat."""
    if suffix == "pdf":
        return {"CreationDate": None, "Producer": None, "Creator": None, "Subject": alt_text}
    if suffix == "svg":
        return {"Date": None, "Creator": None, "Description": alt_text}
    return {"Software": None, "Description": alt_text}
