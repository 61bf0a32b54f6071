"""One seed, many independent random streams."""

import zlib

import numpy as np


def generator(seed: int, stream: str, *, epoch: int = 0) -> np.random.Generator:
    """Return the random generator of one named `stream` at one `epoch`.

    Streams are independent of each other and of the order of the calls, so a run
    that is resumed at epoch 7 draws exactly what the uninterrupted run drew there.

    Args:
        seed: Seed of the experiment, zero or more.
        stream: What the numbers are for, e.g. `"shuffle"`.
        epoch: Epoch the numbers belong to.
    """
    return np.random.default_rng((seed, zlib.crc32(stream.encode()), epoch))
