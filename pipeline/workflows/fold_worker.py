"""Train folds of a cross-validation in a helper process.

The import of this module does not import TensorFlow.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.core.run_directory import RunDirectory
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.workers.messages import MessageCollector


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
    collector = MessageCollector()
    collector.install()
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
        collector.take()  # the messages of the set-up
        return trainer.train(number), collector.take()

    return train
