"""Make wide vectors narrower by fixed draws: nothing is fitted, so nothing can leak.

Shape letters: T steps, D width, d narrower width.
"""

import math

import numpy as np

from pipeline.core.arrays import FloatArray
from pipeline.core.errors import ConfigError
from pipeline.core.seeds import generator


def gaussian_projection(width: int, dim: int, *, seed: int) -> FloatArray:
    """Return a matrix that keeps the distances of vectors, on average.

    Args:
        width: Width of the vectors D.
        dim: Width that they get, d.
        seed: Seed of the draws; the same matrix on every machine.

    Returns:
        Normal draws of variance 1 / d, shape (D, d), float32.

    Raises:
        ConfigError: If the vectors are narrower than `dim`.

    Reference: Johnson & Lindenstrauss, 1984 (doi:10.1090/conm/026/737400).
    """
    if width < dim:
        raise ConfigError(
            f"the encoder's vectors are {width} wide and cannot be projected to {dim}. "
            f"Set dim to at most {width}, or to 0 to keep them as they are."
        )
    draws = generator(seed, f"projection {width} to {dim}").standard_normal((width, dim))
    return np.asarray(draws / math.sqrt(dim), dtype=np.float32)
