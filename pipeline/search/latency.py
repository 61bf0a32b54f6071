"""How long a model takes for one clip."""

import time

import keras
import numpy as np

from pipeline.data.batches import InferenceBatches
from pipeline.data.feature_set import FeatureSet

_WARM_UP = 3
_REPEATS = 30


def clip_latency_ms(network: keras.Model, features: FeatureSet) -> float:
    """Return the milliseconds that one clip takes, alone in its batch: the median of 30 calls."""
    inputs = [
        np.asarray(each)
        for each in next(iter(InferenceBatches(features, np.arange(1), batch_size=1)))
    ]
    seconds = []
    for _ in range(_WARM_UP + _REPEATS):
        began = time.perf_counter()
        network.predict_on_batch(inputs)
        seconds.append(time.perf_counter() - began)
    return 1000 * float(np.median(seconds[_WARM_UP:]))
