"""Independent random streams from one seed."""

import zlib

import numpy as np


def generator(seed: int, stream: str, *, epoch: int = 0) -> np.random.Generator:
    """Return the random generator of one stream at one epoch.

    Streams do not depend on each other or on the order of calls. Therefore a run resumed at
    epoch 7 gets the same numbers as an uninterrupted run.

    Args:
        seed: Seed of the experiment, at least 0.
        stream: Purpose of the numbers, e.g. `"shuffle"`.
        epoch: Epoch of the numbers.
    """
    return np.random.default_rng((seed, zlib.crc32(stream.encode()), epoch))
