"""Python interface: a training system for feature files.

Shapes: N clips, T time steps, D features, K traits.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Final

import keras

from pipeline.config.schema import ExperimentConfig, TrackingConfig
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.records.evaluation import EvaluationReport
from pipeline.workflows.evaluate import evaluate_run
from pipeline.workflows.features import open_features, select_used_streams, with_absolute_paths
from pipeline.workflows.new_run import settings_for_features
from pipeline.workflows.train import TrainingRun, build_for, run_training

_logger = logging.getLogger("pipeline")

_NAME: Final = "personality"
"""Name of runs without a configuration."""


class TrainingSystem:
    """Train, evaluate and track models on one feature set.

    Args:
        static_features_path: Static features, shape (N, D) or (N, T, D).
        dynamic_features_path: Dynamic features, shape (N, D) or (N, T, D).
        labels_path: Labels, shape (N, K), each in [0, 1]. Without names of the traits in a
            `features.json` beside this file, K must be 5, in OCEAN order.
        val_split: Fraction of the clips for validation, in (0, 1). By default, the fraction in
            `config`.
        output_dir: Directory of the run; a new directory under `runs/` by default.
        experiment_name: Name of the run and of the MLflow experiment. By default, the names in
            `config`, or `personality` without a configuration.
        logger: Logger for messages; `pipeline` by default.
        clips_path: Clip table with the columns `clip_id` and `group`. Without a table, the split
            ignores groups, and a warning is logged.
        config: All other settings. The paths above replace the features in its section `data`.
            By default, the settings are chosen from the number of training clips; see
            `pipeline/config/size_defaults.py`.

    Raises:
        FeatureSetError: If the features are not valid.

    Example:
        >>> system = pipeline.TrainingSystem("static.npy", "dynamic.npy", "labels.npy",
        ...                                  clips_path="clips.csv")
        >>> model, history = system.train_model(epochs=20)
        >>> report = system.analyze_results()
        >>> run = pipeline.Run.load(system.run.path)
    """

    def __init__(
        self,
        static_features_path: str | Path,
        dynamic_features_path: str | Path,
        labels_path: str | Path,
        val_split: float | None = None,
        output_dir: str | Path | None = None,
        experiment_name: str | None = None,
        logger: logging.Logger | None = None,
        *,
        clips_path: str | Path | None = None,
        config: ExperimentConfig | None = None,
    ) -> None:
        base = config or ExperimentConfig(name=_NAME, tracking=TrackingConfig(experiment=_NAME))
        if experiment_name is not None:
            tracking = dataclasses.replace(base.tracking, experiment=experiment_name)
            base = dataclasses.replace(base, name=experiment_name, tracking=tracking)
        data = dataclasses.replace(
            base.data,
            features_dir="",
            synthetic=None,
            static_features=str(static_features_path),
            dynamic_features=str(dynamic_features_path),
            labels=str(labels_path),
            clips=str(clips_path) if clips_path else "",
            validation_fraction=base.data.validation_fraction if val_split is None else val_split,
        )
        self.config = with_absolute_paths(dataclasses.replace(base, data=data))
        self.logger = logger or _logger
        self._output_dir = Path(output_dir) if output_dir else None
        self._features = open_features(self.config.data)
        if config is None:
            self.config, chosen = settings_for_features(self.config, self._features, given=())
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
        epochs: int | None = None,
        batch_size: int | None = None,
        *,
        output_path: str | Path | None = None,
    ) -> tuple[keras.Model, keras.callbacks.History]:
        """Train a model and restore the weights of its best epoch.

        Args:
            model: Model with static and dynamic inputs and one output score per trait. By
                default, the model is built from the configuration.
            epochs: Number of epochs. By default, `training.num_epochs` of the configuration.
            batch_size: Number of clips per training step. By default, `training.batch_size` of
                the configuration.
            output_path: File for a copy of the trained model, with the suffix .keras, .h5 or
                .weights.h5.

        Returns:
            The model and the training history.

        Raises:
            TrainingError: If no weight is trainable, or the loss is not finite.
        """
        configured = self.config.training
        num_epochs = configured.num_epochs if epochs is None else epochs
        training = dataclasses.replace(
            configured,
            num_epochs=num_epochs,
            batch_size=configured.batch_size if batch_size is None else batch_size,
            warmup_epochs=min(configured.warmup_epochs, num_epochs),
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
    ) -> EvaluationReport:
        """Evaluate the newest model on its held-out clips, and write `evaluation.json`.

        The arguments are optional. If they are given, they must be the results of the newest call
        of `train_model`, so that the report cannot describe another model.

        Args:
            model: Model from `train_model`.
            history: Training history from `train_model`.

        Returns:
            Evaluation report: metrics, intervals, baselines.

        Raises:
            RunError: If no model has been trained yet, or an argument is from another training.
        """
        latest = self._trained()
        for name, given, expected in (
            ("model", model, latest.network),
            ("history", history, latest.history),
        ):
            if given is not None and given is not expected:
                raise RunError(
                    f"`{name}` must be the {name} that the last call of train_model returned, but "
                    f"is another {name}. Pass the returned {name}, or omit the argument."
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
    val_split: float | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    **settings: Any,
) -> tuple[keras.Model, keras.callbacks.History]:
    """Train the configured model on feature files, and save the model.

    The arguments are those of `TrainingSystem` and its method `train_model`. `settings` are further
    arguments of `TrainingSystem`, e.g. `clips_path`.

    Returns:
        The model with the weights of the best epoch, and the training history.

    Raises:
        PipelineError: If a file or a setting is not valid.

    Example:
        >>> model, history = pipeline.train_personality_model(
        ...     "static.npy", "dynamic.npy", "labels.npy", "results/model.keras", epochs=20
        ... )
    """
    system = TrainingSystem(
        static_features_path, dynamic_features_path, labels_path, val_split, **settings
    )
    return system.train_model(epochs=epochs, batch_size=batch_size, output_path=output_path)
