"""Independent random streams from one seed."""

import zlib

import numpy as np


def generator(seed: int, stream: str, *, epoch: int = 0) -> np.random.Generator:
    """Return the random generator for one purpose (`stream`, e.g. `"shuffle"`) and one epoch.

    A stream depends neither on other streams nor on the order of calls. Therefore a run that
    resumes at epoch 7 gets the same numbers as an uninterrupted run. `seed` must be at least 0.
    """
    return np.random.default_rng((seed, zlib.crc32(stream.encode()), epoch))
