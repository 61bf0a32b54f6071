"""Reasons why rows of RESULTS.md do not reach their goal. A test requires one for each such row.

Each reason names the profile of the remaining time and the attempts to reduce it. After a change,
`python -m benchmarks --table` writes the table again.
"""

from collections.abc import Mapping
from typing import Final

_TRACKED: Final = (
    "Both programs run the same forward and backward pass, which takes most of the time. The "
    "callbacks of the rival take only a small part of an epoch: in this run, the bare fit reached "
    "at most 1.22 times the speed of the rival. One optimizer step for all "
    "weights, metrics once per call of the graph, and one iterator of batches per fit made the "
    "recorded training as fast as the bare fit. A value of 1.5 needs a faster network. XLA was not "
    "tried again, because it makes small models slower and hides the times of single steps."
)

REASONS: Final[Mapping[str, str]] = {
    "plain_fit/vectors/128": (
        "An epoch takes about 1.6 s. Checkpoint, three JSON logs, run log and entropy of the "
        "attention take about 0.04 s of it, and the thread that sends the run to MLflow competes "
        "for the interpreter. There was one repeat."
    ),
    **dict.fromkeys(
        (f"tracked_fit/{kind}/{size}" for kind in ("sequences", "vectors") for size in (32, 128)),
        _TRACKED,
    ),
    "cross_validation": (
        "The functions are traced once for all folds. Profile of a run of 36 s under a profiler: "
        "10 s training steps of 150 epochs, 6 s start-up, 3 s JSON logs, 3 s figures, 2.7 s "
        "tracing, 2 s checkpoints, 1.2 s validation. Writing the JSON logs at most once per second "
        "was tried. It was removed, because the state after a kill then depended on the speed of "
        "the machine. The next step would be folds in two processes."
    ),
    "search": (
        "With 3,800 training clips, a trial runs 300 to 1,200 training steps, and tracing takes "
        "only about an eighth of its time. The two workers have one core each, and the loop has "
        "both cores. Therefore shared traces change this row little. They count for small sets. "
        "Training several trials in one stacked graph was not tried."
    ),
    "first_step": (
        "The import of MLflow and the check of its store take 1.4 s. Tracing the training step "
        "takes 1.4 s. The import of Keras without scikit-learn is 1.5 s faster than the import of "
        "the rival. Next: check the store in another process."
    ),
    "train": (
        "The first step begins after 6.3 s. Of the other 9.6 s, training takes about 6 s, figures "
        "and report in two processes 1.5 s, and the delivery of the last events and of the model "
        "to MLflow 1.5 s. Before the changes, this command took 22 s on this machine. Next: "
        "deliver the model while the figures are drawn. This would change the order of the events "
        "in the run log."
    ),
}
"""Key of a row -> reason, in one paragraph."""
