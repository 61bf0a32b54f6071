"""Reasons why rows of RESULTS.md do not reach their goal. A test requires one for each such row.

Each reason names the profile of the remaining time and the attempts to reduce it. After a change,
`python -m benchmarks --table` writes the table again.
"""

from collections.abc import Mapping
from typing import Final

_PLAIN: Final = (
    "There was one repeat, of two to five measured epochs of about a second, so the value is "
    "uncertain: two runs on the same day differ by up to a factor of two. Besides the training "
    "steps, an epoch contains the checkpoint, three JSON logs, the run log and the entropy of the "
    "attention (about 0.04 s together). The process that calls MLflow uses the same two cores. "
    "Gathering the two clock readings per step would save at most 3 % of a step."
)
_TRACKED: Final = (
    "Both programs run the same forward and backward pass, which takes most of the time. Profile "
    "of a step with batches of 32 sequences: of 38 ms of computation on two cores, products of "
    "matrices take 15 ms, multiplications 6 ms, transpositions 4 ms, random numbers of dropout "
    "3 ms and the loading of the batch 2 ms. A value of 1.5 needs a faster network. Tried: XLA for "
    "the step, with the clocks outside (25 ms instead of 21 ms per step for sequences; for small "
    "models on one core 7.0 ms instead of 3.6 ms), and no dropout (4 % faster for sequences)."
)

REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (f"plain_fit/{kind}/{size}" for kind in ("sequences", "vectors") for size in (32, 128)),
        _PLAIN,
    ),
    **dict.fromkeys(
        (f"tracked_fit/{kind}/{size}" for kind in ("sequences", "vectors") for size in (32, 128)),
        _TRACKED,
    ),
    "cross_validation": (
        "Two processes train five folds in three rounds, then comes the final model. The second "
        "process imports TensorFlow and traces the functions again, about 7 s of processor time. "
        "Other runs on the same day gave 1.69 and 2.09. More cores train more folds at once."
    ),
    "search": (
        "Profile of the two workers: training steps take 57 % of the time, tracing about 13 %, "
        "validation 7 %, imports 4 %. Mended since the first measurement (2.5): the tuning thread "
        "of `tf.data` delayed the end of a trial by up to ten seconds. Each worker has one core, "
        "and the loop has both. Training several trials in one stacked graph was measured with a "
        "bound: stacking four trials takes at least as long as one trial with fourfold batches. "
        "Thus it could be 1.2 to 1.7 times faster for a width of 16, 1.3 for 32, and not faster "
        "for 96, which takes most of the time of a search. Therefore it was not built."
    ),
    "train": (
        "Profile of a run of 16 s under a profiler, before MLflow had its own process: imports "
        "5 s, check of the store 0.8 s, tracing 3 s, training steps 1 s, figures and report 2 s, "
        "delivery of the last events and of the model 0.9 s. The machine changes its speed during "
        "a day: on the same day, this command took 13.3 s (before the process for MLflow 15 s), "
        "and `import tensorflow` 3.4 to 5.2 s. Next: package the model while the figures are "
        "drawn. This would change the order of the events in the run log."
    ),
}
"""Key of a row -> reason, in one paragraph."""
