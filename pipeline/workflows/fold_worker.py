"""Train folds of a cross-validation in a helper process.

The import of this module does not import TensorFlow.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.run_directory import RunDirectory
from pipeline.core.tensorflow_import import import_tensorflow_quietly

Message = tuple[str, int, str]
"""Name of a logger, level, and text."""


def build_fold_work(
    run_dir: Path, command: Sequence[str], num_threads: tuple[int, int]
) -> Callable[[int], Any]:
    """Return a function that trains one fold; see `folds.FoldTrainer`.

    The function also returns the messages that were logged meanwhile.

    Args:
        run_dir: Directory of the cross-validation.
        command: `sys.argv` of the main process, which each fold records.
        num_threads: Number of TensorFlow threads in and between operations, as in the main
            process. With another number, sums would be rounded in another order.
    """
    sys.argv = list(command)
    messages = _collect_messages()
    import_tensorflow_quietly(runs_user_code=False)
    import tensorflow as tf

    within, between = num_threads
    tf.config.threading.set_intra_op_parallelism_threads(within)
    tf.config.threading.set_inter_op_parallelism_threads(between)
    tf.config.set_visible_devices([], "GPU")  # as in the main process
    from pipeline.tracking.mlflow_settings import hide_run_urls
    from pipeline.workflows.folds import FoldTrainer
    from pipeline.workflows.prepared_run import initial_network, load_experiment

    hide_run_urls()
    run = RunDirectory(run_dir)
    experiment = load_experiment(run)
    network = initial_network(run, experiment.config)
    trainer = FoldTrainer(run, experiment, network, shows_progress=False)

    def train(number: int) -> Any:
        messages.clear()
        return trainer.train(number), list(messages)

    return train


def _collect_messages() -> list[Message]:
    """Return a list to which all later warnings and errors are added."""
    messages: list[Message] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append((record.name, record.levelno, record.getMessage()))

    def add_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        messages.append(("py.warnings", logging.WARNING, str(message)))

    logging.getLogger().addHandler(Collector(logging.WARNING))
    warnings.showwarning = add_warning
    return messages
