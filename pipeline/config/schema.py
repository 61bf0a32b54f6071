"""The experiment configuration: every setting with its unit, default and range.

`pipeline.config.loading` checks YAML files and dotted overrides against these classes. No other
module defines a default.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Interval

from pipeline.config.checks import (
    PYDANTIC_CONFIG,
    check_alias,
    check_num_folds,
    check_ranges,
    check_registered_model,
)
from pipeline.config.search import SearchConfig
from pipeline.core.errors import ConfigError

Fusion = Literal["cross_attention", "concat", "gated", "late", "static_only", "dynamic_only"]
LossName = Literal["mae", "mse", "huber", "ccc"]

LARGEST_SEED: Final = 2**32 - 1
"""NumPy's older generator, which Keras and scikit-learn seed, takes no more."""

Monitor = Literal["loss", "accuracy", "mae", "mse", "r2", "pcc", "ccc"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticConfig:
    """The built-in data set: clips in groups, with a planted cross-modal signal."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    num_clips: Annotated[int, Interval(ge=2)] = 6000
    """Number of clips."""
    clips_per_group: Annotated[int, Interval(ge=1)] = 6
    """Clips that share a source video, and with it a part of their appearance."""
    num_steps: Annotated[int, Interval(ge=2)] = 8
    """Face frames, and flow windows, a clip."""
    static_dim: Annotated[int, Interval(ge=8)] = 32
    """Width of a face frame."""
    dynamic_dim: Annotated[int, Interval(ge=2)] = 16
    """Width of a flow window."""
    noise: Annotated[float, Interval(ge=0.0, le=0.2)] = 0.03
    """Standard deviation of the annotation noise, in score units; sets the best possible R²."""
    seed: Annotated[int, Interval(ge=0)] = 0
    """Seed of the generator; the set is the same on every machine."""

    def __post_init__(self) -> None:
        check_ranges("data.synthetic", self)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which clips are used and how they are split; whole groups stay on one side."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    features_dir: str = ""
    """Directory of the feature set. Leave empty to name the files one by one."""
    static_features: str = ""
    """Path of the static features, shape (N, D) or (N, T, D)."""
    dynamic_features: str = ""
    """Path of the dynamic features, shape (N, D) or (N, T, D)."""
    labels: str = ""
    """Path of the labels, shape (N, 5) in OCEAN order, each in [0, 1]."""
    clips: str = ""
    """Path of the clip table with `clip_id`, `group` and, optionally, `split`."""
    validation_fraction: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.2
    """Share of the clips held out for validation where no `split` column says it."""
    test_fraction: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.0
    """Share of the clips held out for the test where no `split` column says it."""
    synthetic: SyntheticConfig | None = None
    """When given, the built-in set is generated in `features_dir` if it is not there yet."""

    def __post_init__(self) -> None:
        check_ranges("data", self)
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
                "data.synthetic makes the set of data.features_dir and cannot stand beside single "
                "feature files; start from a configuration without it."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The shape of the network."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    fusion: Fusion = "cross_attention"
    """How the two streams are joined; the others are the simple fusions to beat."""
    fusion_dim: Annotated[int, Interval(ge=2)] = 128
    """Width of every token."""
    num_heads: Annotated[int, Interval(ge=1)] = 4
    """Attention heads; must divide `fusion_dim`."""
    dropout_rate: Annotated[float, Interval(ge=0, lt=1)] = 0.3
    """Share of activations dropped while training, in [0, 1)."""
    num_tokens: Annotated[int, Interval(ge=2)] = 8
    """Learned tokens a vector stream is turned into; attention over one key is always 1."""
    num_blocks: Annotated[int, Interval(ge=1)] = 1
    """Bidirectional cross-attention blocks."""
    feed_forward_factor: Annotated[int, Interval(ge=1)] = 2
    """Width of a block's feed-forward layer, in multiples of `fusion_dim`."""
    static_encoder: str = ""
    """Encoder of face crops inside of the model, for a static stream of pictures (N, T, H, W, 3):
    `conv`, a small one that learns with the rest, or the path of a `.keras` file, which keeps its
    weights unless `training.trainable` says otherwise."""
    dynamic_encoder: str = ""
    """The same for optical flow (N, T, H, W, 2L)."""
    linear_skip: bool = True
    """Add a linear map of the pooled inputs to the logits."""

    def __post_init__(self) -> None:
        check_ranges("model", self)
        if self.fusion_dim % self.num_heads:
            valid = [heads for heads in range(1, 33) if self.fusion_dim % heads == 0]
            raise ConfigError(
                f"model.num_heads must divide model.fusion_dim; got num_heads={self.num_heads}, "
                f"fusion_dim={self.fusion_dim}. Head counts that do: {valid}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a model is fitted."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    num_epochs: Annotated[int, Interval(ge=1)] = 50
    """Passes over the training clips."""
    batch_size: Annotated[int, Interval(ge=1)] = 32
    """Clips in one step; the last, smaller batch of an epoch is used too."""
    loss: LossName | dict[LossName, float] = "mse"
    """One loss, or a mix as `{name: weight}`; `ccc` is 1 - CCC over the batch."""
    huber_delta: Annotated[float, Interval(gt=0)] = 0.1
    """Error, in score units, where the huber loss turns from square to linear."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Loshchilov & Hutter, 2019 (arXiv:1711.05101), or Kingma & Ba, 2015 (arXiv:1412.6980)."""
    learning_rate: Annotated[float, Interval(gt=0)] = 1e-3
    """Highest step size."""
    weight_decay: Annotated[float, Interval(ge=0)] = 1e-2
    """Decoupled weight decay of `adamw`; `adam` has none."""
    gradient_clip_norm: Annotated[float, Interval(ge=0)] = 1.0
    """Largest norm of the gradient of all weights together; 0 clips nothing."""
    schedule: Literal["warmup_cosine", "constant"] = "warmup_cosine"
    """Linear warm-up then cosine decay to zero, or a constant learning rate."""
    warmup_epochs: float = 1.0
    """Length of the warm-up, in epochs; fractions are allowed."""
    monitor: Monitor = "mae"
    """Validation metric that decides the best epoch, early stopping and plateaus."""
    early_stopping_patience: Annotated[int, Interval(ge=0)] = 0
    """Epochs without improvement after which training stops; 0 never stops early."""
    reduce_lr_patience: Annotated[int, Interval(ge=0)] = 0
    """Epochs without improvement after which a constant learning rate is cut; 0 never cuts."""
    reduce_lr_factor: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Factor of the learning rate on a plateau."""
    cache: Literal["memory", "disk"] = "memory"
    """Hold the features in memory, or read each batch from disk."""
    steps_per_execution: Annotated[int, Interval(ge=1)] = 32
    """Steps that run inside one call into the graph; per-step values are recorded all the same."""
    trainable: tuple[str, ...] = ()
    """Patterns of layers that learn though the model was made with them frozen, e.g. `*`."""
    frozen: tuple[str, ...] = ()
    """Patterns of layers that keep their weights, e.g. `static_*`; they win over `trainable`."""
    num_folds: int = 0
    """Cross-validation folds, by group; 0 uses the one split."""
    deterministic: bool = True
    """Use deterministic operations: same seed, same machine, same bits."""
    tensorboard: bool = False
    """Write TensorBoard logs into the run directory (extra `tensorboard`)."""

    def __post_init__(self) -> None:
        check_ranges("training", self)
        self._check_schedule()
        self._check_loss()
        check_num_folds("training.num_folds", self.num_folds)

    def _check_schedule(self) -> None:
        if self.schedule == "warmup_cosine" and not 0.0 <= self.warmup_epochs <= self.num_epochs:
            raise ConfigError(
                "training.warmup_epochs must lie in [0, training.num_epochs]; got "
                f"warmup_epochs={self.warmup_epochs}, num_epochs={self.num_epochs}. "
                "Shorten the warm-up or train longer."
            )
        if self.reduce_lr_patience and self.schedule != "constant":
            raise ConfigError(
                "training.reduce_lr_patience needs training.schedule=constant; got "
                f"{self.schedule}, which sets the learning rate itself."
            )

    def _check_loss(self) -> None:
        weights = self.loss_weights
        if not weights or not all(0 < weight < math.inf for weight in weights.values()):
            raise ConfigError(
                f"training.loss must name at least one loss, each weight above 0; got {self.loss}."
            )

    @property
    def loss_weights(self) -> dict[LossName, float]:
        """The loss as a mix `{name: weight}`."""
        return {self.loss: 1.0} if isinstance(self.loss, str) else dict(self.loss)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """How sure the numbers are."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    num_resamples: Annotated[int, Interval(ge=100)] = 2000
    """Resamples of the cluster bootstrap behind every 95 % interval."""
    by: tuple[str, ...] = ()
    """Columns of the clip table to report separately, e.g. gender."""
    figures: bool = True
    """Measure attention, draw the figures and write the report when training ends."""

    def __post_init__(self) -> None:
        check_ranges("evaluation", self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingConfig:
    """Where MLflow finds the run."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    enabled: bool = True
    """Mirror the run directory to MLflow; the run directory itself is always written."""
    experiment: str = "ocean"
    """MLflow experiment. A setting on the command line replaces MLFLOW_EXPERIMENT_NAME and
    MLFLOW_EXPERIMENT_ID, which replace one in a file. `mlflow run` takes --experiment-name."""
    run_name: str = ""
    """Name of the run; empty takes the name of the experiment file. `mlflow run` names its run
    itself, unless the command line gives this setting."""
    package_model: bool = True
    """Log the model as one that MLflow can load and serve."""
    registered_model: str = ""
    """Register the trained model under this name; empty registers nothing."""
    alias: str = ""
    """Alias given to the version that is registered, e.g. champion; it moves with each run."""
    system_metrics: bool = True
    """Record CPU and memory use every few seconds."""
    patience_seconds: Annotated[float, Interval(gt=0)] = 10.0
    """Longest wait for MLflow at the end of a run; `sync` sends what is left."""

    def __post_init__(self) -> None:
        check_ranges("tracking", self)
        check_registered_model("tracking.registered_model", self.registered_model)
        check_alias("tracking.alias", self.alias)
        if self.alias and not self.registered_model:
            raise ConfigError(
                f"tracking.alias={self.alias} needs tracking.registered_model, the name of the "
                "registered model that the alias belongs to."
            )

    def unregistered(self) -> "TrackingConfig":
        """Return the settings of a run whose model does not go into the registry."""
        return dataclasses.replace(self, registered_model="", alias="")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig:
    """One experiment, whole."""

    __pydantic_config__: ClassVar[Any] = PYDANTIC_CONFIG

    name: str = "experiment"
    """Short name, used for run directories and MLflow runs."""
    description: str = ""
    """What the experiment is for; becomes the description of the MLflow run."""
    seed: Annotated[int, Interval(ge=0, le=LARGEST_SEED)] = 0
    """Seed of every random stream, below 2**32."""
    data: DataConfig = field(default_factory=DataConfig)
    """Clips and splits."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The fit."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """The numbers."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """The search for better settings; `train` does not look at it."""

    def __post_init__(self) -> None:
        check_ranges("", self)


def to_dict(config: ExperimentConfig) -> dict[str, Any]:
    """Return the configuration as nested plain values, ready for YAML."""
    values = dataclasses.asdict(config)
    values["evaluation"]["by"] = list(config.evaluation.by)
    for name in ("trainable", "frozen"):
        values["training"][name] = list(values["training"][name])
    return values
