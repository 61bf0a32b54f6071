"""Training in the commands `train` and `main`."""

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config.schema import ExperimentConfig
    from pipeline.workflows.train import TrainingRun


def train_tracked(config: "ExperimentConfig", **inputs: Any) -> "TrainingRun":
    """Import TensorFlow, print the device, and train. `inputs` are those of `run_training`.

    During the import, another process checks the MLflow store. It then sends the run to MLflow.
    """
    from pipeline.commands.tables import print_device
    from pipeline.core.tensorflow_import import import_tensorflow_quietly
    from pipeline.tracking.tracking_process import TrackingProcess

    with contextlib.closing(TrackingProcess()) as tracking:
        if config.tracking.enabled:
            tracking.start(config.tracking.experiment)
        import_tensorflow_quietly(runs_user_code=False)
        print_device()
        from pipeline.workflows.train import run_training

        return run_training(config, tracking=tracking, **inputs)
