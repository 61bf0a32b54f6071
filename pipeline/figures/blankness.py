"""Says whether a picture shows anything."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from pipeline.core.errors import PipelineError


def is_blank(path: Path) -> bool:
    """Return whether all pixels of a PNG file have one colour.

    Raises:
        PipelineError: If the file is no PNG, or is cut off.
    """
    try:
        pixels = imread(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise PipelineError(f"{path}: cannot be read as a picture ({error}).") from error
    flat = np.reshape(pixels, (-1, pixels.shape[-1]))
    return bool((flat == flat[0]).all())
