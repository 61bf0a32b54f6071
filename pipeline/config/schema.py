"""Settings of an experiment, with unit, default and range.

`ExperimentConfig` describes an experiment file. `pipeline.config.loading` reads such files. No
other module defines a default.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Interval

from pipeline.config.checks import Section, check_alias, check_num_folds, check_registered_model
from pipeline.core.errors import ConfigError

Fusion = Literal["cross_attention", "concat", "gated", "late", "static_only", "dynamic_only"]
LossName = Literal["mae", "mse", "huber", "ccc"]
Monitor = Literal["loss", "accuracy", "mae", "mse", "r2", "pcc", "ccc"]

MAX_SEED: Final = 2**32 - 1
"""Largest seed of NumPy's legacy generator, which Keras and scikit-learn use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticConfig(Section):
    """The built-in data set: groups of clips with a planted cross-modal signal."""

    section: ClassVar[str] = "data.synthetic"

    num_clips: Annotated[int, Interval(ge=2)] = 6000
    """Number of clips."""
    clips_per_group: Annotated[int, Interval(ge=1)] = 6
    """Clips per source video; they share a part of their scores."""
    num_steps: Annotated[int, Interval(ge=2)] = 8
    """Face frames per clip, and flow windows per clip."""
    static_dim: Annotated[int, Interval(ge=8)] = 32
    """Width of a face frame."""
    dynamic_dim: Annotated[int, Interval(ge=2)] = 16
    """Width of a flow window."""
    noise: Annotated[float, Interval(ge=0.0, le=0.2)] = 0.03
    """Standard deviation of the annotation noise, in score units; limits the best R²."""
    seed: Annotated[int, Interval(ge=0)] = 0
    """Seed of the generator; the set is the same on every machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig(Section):
    """Clips of an experiment and their split. No group is in two subsets."""

    section: ClassVar[str] = "data"

    features_dir: str = ""
    """Directory of the feature set; empty if the files are given one by one."""
    static_features: str = ""
    """Path of the static features, shape (N, D) or (N, T, D)."""
    dynamic_features: str = ""
    """Path of the dynamic features, shape (N, D) or (N, T, D)."""
    labels: str = ""
    """Path of the labels, shape (N, 5) in OCEAN order, each in [0, 1]."""
    clips: str = ""
    """Path of the clip table with `clip_id`, `group` and, optionally, `split`."""
    validation_fraction: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.2
    """Share of the clips for validation, unless a `split` column assigns them."""
    test_fraction: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.0
    """Share of the clips for the test, unless a `split` column assigns them."""
    synthetic: SyntheticConfig | None = None
    """Settings of the built-in set, which is generated in `features_dir` if it is missing."""

    def _check(self) -> None:
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ConfigError(
                "data.validation_fraction + data.test_fraction must stay below 1; got "
                f"{self.validation_fraction} + {self.test_fraction}. Lower one of them."
            )
        files = (self.static_features, self.dynamic_features, self.labels, self.clips)
        if self.features_dir and any(files):
            raise ConfigError(
                "data.features_dir and single feature files exclude each other; "
                "give either the directory or the files."
            )
        if self.synthetic is not None and any(files):
            raise ConfigError(
                "data.synthetic and single feature files exclude each other, because the "
                "built-in set is a directory. Use a configuration without data.synthetic."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig(Section):
    """Architecture of the network."""

    section: ClassVar[str] = "model"

    fusion: Fusion = "cross_attention"
    """Fusion of the two streams; all but `cross_attention` are simple baselines."""
    fusion_dim: Annotated[int, Interval(ge=2)] = 128
    """Width of every token."""
    num_heads: Annotated[int, Interval(ge=1)] = 4
    """Attention heads; must divide `fusion_dim`."""
    dropout_rate: Annotated[float, Interval(ge=0, lt=1)] = 0.3
    """Share of activations dropped during training, in [0, 1)."""
    num_tokens: Annotated[int, Interval(ge=2)] = 8
    """Learned tokens per vector stream, because attention over a single key is always 1."""
    num_blocks: Annotated[int, Interval(ge=1)] = 1
    """Bidirectional cross-attention blocks."""
    feed_forward_factor: Annotated[int, Interval(ge=1)] = 2
    """Width of the feed-forward layer of a block, in multiples of `fusion_dim`."""
    static_encoder: str = ""
    """Encoder inside the model for a static stream of face crops (N, T, H, W, 3).

    `conv` is a small network that is trained with the model. The path of a `.keras` file adds a
    network whose weights stay frozen unless `training.trainable` matches its layers.
    """
    dynamic_encoder: str = ""
    """The same for optical flow (N, T, H, W, 2L)."""
    linear_skip: bool = True
    """Add a linear map of the pooled inputs to the logits."""

    def _check(self) -> None:
        if self.fusion_dim % self.num_heads:
            valid = [heads for heads in range(1, 33) if self.fusion_dim % heads == 0]
            raise ConfigError(
                f"model.num_heads must divide model.fusion_dim; got num_heads={self.num_heads}, "
                f"fusion_dim={self.fusion_dim}. Head counts that do divide it: {valid}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig(Section):
    """Training of a model."""

    section: ClassVar[str] = "training"

    num_epochs: Annotated[int, Interval(ge=1)] = 50
    """Passes over the training clips."""
    batch_size: Annotated[int, Interval(ge=1)] = 32
    """Clips per step; the last, smaller batch of an epoch is used too."""
    loss: LossName | dict[LossName, float] = "mse"
    """One loss, or a mix `{name: weight}`; `ccc` is 1 - CCC over the batch."""
    huber_delta: Annotated[float, Interval(gt=0)] = 0.1
    """Error, in score units, at which the huber loss changes from quadratic to linear."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Loshchilov & Hutter, 2019 (arXiv:1711.05101), or Kingma & Ba, 2015 (arXiv:1412.6980)."""
    learning_rate: Annotated[float, Interval(gt=0)] = 1e-3
    """Highest learning rate of the schedule."""
    weight_decay: Annotated[float, Interval(ge=0)] = 1e-2
    """Decoupled weight decay of `adamw`; `adam` ignores it."""
    gradient_clip_norm: Annotated[float, Interval(ge=0)] = 1.0
    """Largest global norm of the gradient; 0 turns clipping off."""
    schedule: Literal["warmup_cosine", "constant"] = "warmup_cosine"
    """Linear warm-up then cosine decay to zero, or a constant learning rate."""
    warmup_epochs: float = 1.0
    """Length of the warm-up, in epochs; fractions are allowed."""
    monitor: Monitor = "mae"
    """Validation metric for the best epoch, early stopping and plateaus."""
    early_stopping_patience: Annotated[int, Interval(ge=0)] = 0
    """Epochs without improvement before training stops; 0 turns early stopping off."""
    reduce_lr_patience: Annotated[int, Interval(ge=0)] = 0
    """Epochs without improvement before a constant learning rate is reduced; 0: never."""
    reduce_lr_factor: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Factor of the learning rate on a plateau."""
    cache: Literal["memory", "disk"] = "memory"
    """Keep the features in memory, or read each batch from disk."""
    steps_per_execution: Annotated[int, Interval(ge=1)] = 32
    """Steps per call of the compiled graph; values are still recorded per step."""
    trainable: tuple[str, ...] = ()
    """Patterns of layers to unfreeze, e.g. `*`."""
    frozen: tuple[str, ...] = ()
    """Patterns of layers to freeze, e.g. `static_*`; they override `trainable`."""
    num_folds: int = 0
    """Cross-validation folds, by group; 0 uses a single split."""
    deterministic: bool = True
    """Use deterministic operations: same seed, same machine, same bits."""
    tensorboard: bool = False
    """Write TensorBoard logs into the run directory (extra `tensorboard`)."""

    def _check(self) -> None:
        if self.schedule == "warmup_cosine" and not 0.0 <= self.warmup_epochs <= self.num_epochs:
            raise ConfigError(
                "training.warmup_epochs must lie in [0, training.num_epochs]; got "
                f"warmup_epochs={self.warmup_epochs}, num_epochs={self.num_epochs}. "
                "Shorten the warm-up or train longer."
            )
        if self.reduce_lr_patience and self.schedule != "constant":
            raise ConfigError(
                "training.reduce_lr_patience needs training.schedule=constant; got "
                f"{self.schedule}, which already changes the learning rate."
            )
        weights = self.loss_weights
        if not weights or not all(0 < weight < math.inf for weight in weights.values()):
            raise ConfigError(
                f"training.loss must name at least one loss, each weight above 0; got {self.loss}."
            )
        check_num_folds("training.num_folds", self.num_folds)

    @property
    def loss_weights(self) -> dict[LossName, float]:
        """The loss as a mix `{name: weight}`."""
        return {self.loss: 1.0} if isinstance(self.loss, str) else dict(self.loss)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig(Section):
    """Evaluation after training: intervals, subgroups and figures."""

    section: ClassVar[str] = "evaluation"

    num_resamples: Annotated[int, Interval(ge=100)] = 2000
    """Resamples of the cluster bootstrap for every 95 % interval."""
    by: tuple[str, ...] = ()
    """Columns of the clip table that define subgroups, e.g. gender."""
    figures: bool = True
    """Measure attention, draw the figures and write the report after training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingConfig(Section):
    """Logging to MLflow."""

    section: ClassVar[str] = "tracking"

    enabled: bool = True
    """Mirror the run directory to MLflow. The run directory is always written."""
    experiment: str = "ocean"
    """MLflow experiment; with `mlflow run`, use `--experiment-name` instead.

    A value on the command line overrides MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID. These
    variables override a value in a file.
    """
    run_name: str = ""
    """Name of the run; empty uses the name of the experiment file.

    `mlflow run` generates a name unless the command line gives this setting.
    """
    package_model: bool = True
    """Log the model in a form that MLflow can load and serve."""
    registered_model: str = ""
    """Name under which the trained model is registered; empty registers no model."""
    alias: str = ""
    """Alias of the registered version, e.g. champion; each run moves it."""
    system_metrics: bool = True
    """Record CPU and memory use every few seconds."""
    patience_seconds: Annotated[float, Interval(gt=0)] = 10.0
    """Longest wait for MLflow at the end of a run, in seconds; `sync` sends the rest."""

    def _check(self) -> None:
        check_registered_model("tracking.registered_model", self.registered_model)
        check_alias("tracking.alias", self.alias)
        if self.alias and not self.registered_model:
            raise ConfigError(
                f"tracking.alias={self.alias} needs tracking.registered_model, the name of the "
                "registered model that the alias belongs to."
            )

    def unregistered(self) -> "TrackingConfig":
        """Return the same settings without registration of the model."""
        return dataclasses.replace(self, registered_model="", alias="")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig(Section):
    """Settings of a hyper-parameter search. The space file defines the parameters."""

    section: ClassVar[str] = "search"

    metric: Literal["accuracy", "mae", "mse", "r2", "pcc", "ccc"] = "mae"
    """Validation metric to optimize; it also selects the best epoch of each trial."""
    num_folds: int = 0
    """Cross-validation folds per trial, by group; 0 uses a single validation split."""
    num_seeds: Annotated[int, Interval(ge=1)] = 1
    """Seeds per trial; each needs a fit of its own."""
    second_objective: Literal["none", "weights", "latency_ms"] = "none"
    """Second value to minimize: the number of weights, or the milliseconds per clip."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Tree-structured Parzen estimator (Bergstra et al., 2011), or random sampling."""
    num_startup_trials: Annotated[int, Interval(ge=1)] = 10
    """Random trials before the first proposal of the estimator."""
    pruner: Literal["hyperband", "successive_halving", "median", "none"] = "hyperband"
    """How to stop weak trials early (Li et al., 2018, arXiv:1603.06560, and others).

    With two objectives every trial runs to its end.
    """
    min_epochs: Annotated[int, Interval(ge=1)] = 5
    """Epochs before a trial can be stopped."""
    reduction_factor: Annotated[int, Interval(ge=2)] = 3
    """One of this many trials continues, for `hyperband` and `successive_halving`."""
    try_default: bool = True
    """Use the given configuration as the first trial, if the space contains it."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.5)] = 0.2
    """Share of the clips held out from the whole search, unless a test split is given."""
    refit: Literal["train_validation", "train"] = "train_validation"
    """Clips for the final training of the best configuration.

    `train_validation` stops at the best epoch of the trial. `train` holds the validation clips
    out and selects the best epoch again.
    """
    alias: str = "best"
    """Alias of the best model in MLflow's registry."""
    heartbeat_seconds: Annotated[int, Interval(ge=1)] = 10
    """Interval of the heartbeats of a trial; a trial is run again after three missed beats."""
    max_retries: Annotated[int, Interval(ge=0)] = 2
    """How often a trial is run again if its worker dies."""

    def _check(self) -> None:
        check_alias("search.alias", self.alias)
        check_num_folds("search.num_folds", self.num_folds)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig(Section):
    """All settings of one experiment."""

    name: str = "experiment"
    """Short name for run directories and MLflow runs."""
    description: str = ""
    """Purpose of the experiment; becomes the description of the MLflow run."""
    seed: Annotated[int, Interval(ge=0, le=MAX_SEED)] = 0
    """Seed of every random stream, below 2**32."""
    data: DataConfig = field(default_factory=DataConfig)
    """Clips and splits."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Architecture."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Training."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Evaluation."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """Hyper-parameter search; `train` ignores it."""


def to_dict(config: ExperimentConfig) -> dict[str, Any]:
    """Return the configuration as nested plain values, ready for YAML."""
    values = dataclasses.asdict(config)
    values["evaluation"]["by"] = list(config.evaluation.by)
    for name in ("trainable", "frozen"):
        values["training"][name] = list(values["training"][name])
    return values
