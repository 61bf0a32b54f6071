"""Network and arrays of a training run. The pipeline and its rivals use the same.

Shapes: N clips, T steps, D width, K traits.
"""

from dataclasses import dataclass
from pathlib import Path

import keras

from pipeline.config.loading import load_config
from pipeline.core.arrays import FloatArray, IntArray
from pipeline.data.batches import inference_batches
from pipeline.workflows.features import open_features
from pipeline.workflows.new_run import new_split
from pipeline.workflows.train import build_for
from pipeline.workflows.training_steps import Experiment, adapt_network


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """The default model, adapted to the training clips of a feature set."""

    network: keras.Model
    experiment: Experiment

    def arrays(self, rows: IntArray) -> tuple[list[FloatArray], FloatArray]:
        """Return the inputs, each (N, T, D) or (N, D), and the labels, (N, K), of some clips."""
        features = self.experiment.features
        (inputs,) = inference_batches(features, rows, batch_size=len(rows))
        return list(inputs), features.checked_labels()[rows]

    def training_arrays(self) -> tuple[list[FloatArray], FloatArray]:
        """Return inputs and labels of the training clips."""
        return self.arrays(self.experiment.split.train)

    def validation_arrays(self) -> tuple[list[FloatArray], FloatArray]:
        """Return inputs and labels of the validation clips."""
        return self.arrays(self.experiment.split.validation)


def build_problem(features_dir: str | Path, *, batch_size: int, num_epochs: int) -> Problem:
    """Build the default model for a feature set, with the same weights in each call."""
    settings = {
        "data.features_dir": str(features_dir),
        "training.batch_size": batch_size,
        "training.num_epochs": num_epochs,
    }
    config = load_config(None, settings)
    features = open_features(config.data)
    experiment = Experiment(config=config, features=features, split=new_split(config, features))
    keras.utils.set_random_seed(config.seed)
    network = build_for(config, features)
    adapt_network(network, experiment)
    return Problem(network=network, experiment=experiment)
