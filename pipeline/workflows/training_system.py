"""Python interface: a training system for feature files.

Shapes: N clips, T time steps, D features, K traits.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import keras

from pipeline.config.schema import DataConfig, ExperimentConfig
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.records.evaluation import EvaluationReport
from pipeline.workflows.evaluate import evaluate_run
from pipeline.workflows.features import open_features, select_used_streams, with_absolute_paths
from pipeline.workflows.new_run import settings_for_features
from pipeline.workflows.train import TrainingRun, build_for, run_training

_logger = logging.getLogger("pipeline")


class TrainingSystem:
    """Train, evaluate and track models on one feature set.

    Args:
        static_features_path: Static features, shape (N, D) or (N, T, D).
        dynamic_features_path: Dynamic features, shape (N, D) or (N, T, D).
        labels_path: Labels, shape (N, K), each in [0, 1]. Without names of the traits in a
            `features.json` beside this file, K must be 5, in OCEAN order.
        val_split: Fraction of the clips for validation, in (0, 1).
        output_dir: Directory of the run; a new directory under `runs/` by default.
        experiment_name: Name of the run and of the MLflow experiment.
        logger: Logger for messages; `pipeline` by default.
        clips_path: Clip table with the columns `clip_id` and `group`. Without a table, the split
            ignores groups, and a warning is logged.
        config: All other settings. From its section `data`, only `test_fraction`, `split_seed`
            and `traits` are used. By default, the settings are chosen from the number of training
            clips; see `pipeline/config/size_defaults.py`.

    Raises:
        FeatureSetError: If the features are not valid.
    """

    def __init__(
        self,
        static_features_path: str | Path,
        dynamic_features_path: str | Path,
        labels_path: str | Path,
        val_split: float = 0.2,
        output_dir: str | Path | None = None,
        experiment_name: str = "personality",
        logger: logging.Logger | None = None,
        *,
        clips_path: str | Path | None = None,
        config: ExperimentConfig | None = None,
    ) -> None:
        base = config or ExperimentConfig()
        data = DataConfig(
            static_features=str(static_features_path),
            dynamic_features=str(dynamic_features_path),
            labels=str(labels_path),
            clips=str(clips_path) if clips_path else "",
            validation_fraction=val_split,
            test_fraction=base.data.test_fraction,
            traits=base.data.traits,
            split_seed=base.data.split_seed,
        )
        tracking = dataclasses.replace(base.tracking, experiment=experiment_name)
        self.config = with_absolute_paths(
            dataclasses.replace(base, name=experiment_name, data=data, tracking=tracking)
        )
        self.logger = logger or _logger
        self._output_dir = Path(output_dir) if output_dir else None
        self._features = open_features(self.config.data)
        if config is None:
            # The other settings are arguments of `train_model`.
            self.config, chosen = settings_for_features(
                self.config, self._features, given=("training.num_epochs", "training.batch_size")
            )
            self.logger.info(chosen)
        self._latest: TrainingRun | None = None

    @property
    def run(self) -> RunDirectory:
        """Directory of the newest run.

        Raises:
            RunError: If no model has been trained yet.
        """
        return self._trained().run

    def build_model(self) -> keras.Model:
        """Build the configured model for the feature set, with initial weights."""
        return build_for(self.config, select_used_streams(self._features, self.config))

    def train_model(
        self,
        model: keras.Model | None = None,
        epochs: int = 50,
        batch_size: int = 32,
        *,
        output_path: str | Path | None = None,
    ) -> tuple[keras.Model, keras.callbacks.History]:
        """Train a model and restore the weights of its best epoch.

        Args:
            model: Model with static and dynamic inputs and one output score per trait. By
                default, the model is built from the configuration.
            epochs: Number of epochs.
            batch_size: Number of clips per training step.
            output_path: File for a copy of the trained model, with the suffix .keras, .h5 or
                .weights.h5.

        Returns:
            The model and the training history.

        Raises:
            TrainingError: If no weight is trainable, or the loss is not finite.
        """
        training = dataclasses.replace(
            self.config.training,
            num_epochs=epochs,
            batch_size=batch_size,
            warmup_epochs=min(self.config.training.warmup_epochs, epochs),
        )
        self._latest = run_training(
            dataclasses.replace(self.config, training=training),
            run_dir=self._output_dir,
            output=Path(output_path) if output_path else None,
            network=model,
            features=self._features,
        )
        self.logger.info("Training finished. The run directory is %s.", self._latest.run.path)
        return self._latest.network, self._latest.history

    def analyze_results(
        self,
        model: keras.Model | None = None,
        history: keras.callbacks.History | None = None,
        sample_size: int | None = None,
    ) -> EvaluationReport:
        """Evaluate the newest model on its held-out clips, and write `evaluation.json`.

        Args:
            model: The trained model of the newest run, or None.
            history: Not used; accepted for compatibility.
            sample_size: Not used; the evaluation uses all held-out clips.

        Returns:
            Evaluation report: metrics, intervals, baselines.

        Raises:
            RunError: If no model has been trained yet, or `model` is not the trained model.
        """
        del history, sample_size
        latest = self._trained()
        if model is not None and model is not latest.network:
            raise RunError(
                "`model` must be the model that the last call of train_model returned, but is "
                "another model. Pass the returned model."
            )
        if self.config.training.num_folds and latest.report is not None:
            return latest.report  # out-of-fold, because the final model has no held-out clips
        return evaluate_run(latest.run.path, None, split="validation").report

    def _trained(self) -> TrainingRun:
        if self._latest is None:
            raise RunError("No model has been trained yet. Call train_model first.")
        return self._latest


def train_personality_model(
    static_features_path: str | Path,
    dynamic_features_path: str | Path,
    labels_path: str | Path,
    output_path: str | Path,
    val_split: float = 0.2,
    batch_size: int = 32,
    epochs: int = 50,
    **settings: Any,
) -> tuple[keras.Model, keras.callbacks.History]:
    """Train the configured model on feature files, and save the model.

    The arguments are those of `TrainingSystem` and its method `train_model`. `settings` are further
    arguments of `TrainingSystem`, e.g. `clips_path`.

    Returns:
        The model with the weights of the best epoch, and the training history.

    Raises:
        PipelineError: If a file or a setting is not valid.
    """
    system = TrainingSystem(
        static_features_path, dynamic_features_path, labels_path, val_split, **settings
    )
    return system.train_model(epochs=epochs, batch_size=batch_size, output_path=output_path)
