"""Training as in the command `train`, without the evaluation and the figures at the end.

It writes all records, logs, a checkpoint per epoch and the entropy of the attention heads. Another
process sends the run to MLflow, as in the command. The processor time does not include this
process. The SQLite store is in the working directory.
"""

import contextlib
from pathlib import Path

import keras

from benchmarks.problem import build_problem
from benchmarks.timing import EpochClock
from pipeline.core.run_directory import create_run_directory
from pipeline.tracking.tracking_process import TrackingProcess
from pipeline.training.fit import FitHooks
from pipeline.workflows.session import open_session
from pipeline.workflows.training_steps import fit_network, log_experiment, prepare_directory


def measure(
    *, features_dir: str, batch_size: int, num_epochs: int, work_dir: str
) -> dict[str, float]:
    """Train the default model. Return its speed after the first epoch."""
    problem = build_problem(features_dir, batch_size=batch_size, num_epochs=num_epochs)
    experiment, network = problem.experiment, problem.network
    directory = Path(work_dir)
    run = create_run_directory(directory, name="benchmark", parent=directory.parent)
    prepare_directory(run, experiment, network)
    clock = EpochClock()
    config, num_steps = experiment.config, experiment.num_steps
    with contextlib.closing(TrackingProcess()) as tracking:
        tracking.start(config.tracking.experiment)
        tracking.check_store(config.tracking.experiment)
        with open_session(run, config, num_steps=num_steps, tracking=tracking) as session:
            log_experiment(session, experiment, network)
            # The commit is the last step of an epoch, after logs, run log and checkpoint.
            hooks = FitHooks(on_commit=clock.tick, shows_progress=False)
            result, _ = fit_network(session, experiment, network, hooks)
    seconds, cpu_seconds = clock.seconds_per_epoch()
    measured = {
        "clips_per_second": len(experiment.split.train) / seconds,
        "clips_per_cpu_second": len(experiment.split.train) / cpu_seconds,
        "num_weights": network.count_params(),
        "num_steps": result.records[-1].last_step,
    }
    keras.backend.clear_session()
    return measured
