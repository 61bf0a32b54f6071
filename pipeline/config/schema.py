"""Settings of an experiment, with units, defaults and ranges.

`ExperimentConfig` describes an experiment file. `pipeline.config.loading` reads such files. All
defaults are defined here.

Shapes: N clips, T steps, D features, H height and W width of an image, L flow fields per step.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Interval

from pipeline.config.checks import Section, check_alias, check_num_folds, check_registered_model
from pipeline.core.errors import ConfigError
from pipeline.core.stream_names import stream_name_fault
from pipeline.core.traits import trait_names_fault

Fusion = Literal["cross_attention", "concat", "gated", "late", "static_only", "dynamic_only"]
LossName = Literal["mae", "mse", "huber", "ccc"]
LinearStart = Literal["zero", "ridge"]
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
    """Number of clips per source video. The scores of these clips are correlated."""
    num_steps: Annotated[int, Interval(ge=2)] = 8
    """Number of face frames and of flow windows per clip."""
    static_dim: Annotated[int, Interval(ge=8)] = 32
    """Dimension of the vector of a face frame."""
    dynamic_dim: Annotated[int, Interval(ge=2)] = 16
    """Dimension of the vector of a flow window."""
    noise: Annotated[float, Interval(ge=0.0, le=0.2)] = 0.03
    """Standard deviation of the annotation noise, in score units. It limits the best R²."""
    seed: Annotated[int, Interval(ge=0)] = 0
    """Seed of the data. A seed gives the same data on every machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig(Section):
    """Data of an experiment, and their split into subsets. Each group is in exactly one subset."""

    section: ClassVar[str] = "data"

    features_dir: str = ""
    """Directory of the feature set; empty if single files are given."""
    streams: tuple[str, ...] = ()
    """Names of the streams, in the order of the model inputs; empty for all streams of the set.

    The fusions `static_only` and `dynamic_only` use one of these streams.
    """
    traits: tuple[str, ...] = ()
    """Names of the predicted columns of the labels; empty for all columns."""
    static_features: str = ""
    """Path of the static features, shape (N, D) or (N, T, D)."""
    dynamic_features: str = ""
    """Path of the dynamic features, shape (N, D) or (N, T, D)."""
    labels: str = ""
    """Path of the labels: an array (N, K), each in [0, 1]; or label tables or ChaLearn pickles,
    separated by commas, which are joined by clip id and replace the labels of `features_dir`."""
    id_column: str = ""
    """Column of the clip ids in label tables; empty: found by its name."""
    trait_columns: str = ""
    """Columns of label tables with other names: `TRAIT=COLUMN`, separated by commas."""
    label_range: str = ""
    """Lowest and highest possible score in label tables, e.g. `1,7`; empty: `0,1`."""
    reverse: str = ""
    """Traits in label tables whose scores x become 1 - x, separated by commas."""
    clips: str = ""
    """Path of the clip table with `clip_id`, `group` and, optionally, `split`."""
    validation_fraction: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.2
    """Share of validation clips. Ignored if a `split` column assigns validation clips."""
    test_fraction: Annotated[float, Interval(ge=0.0, le=0.9)] = 0.0
    """Share of test clips. Ignored if a `split` column assigns test clips."""
    split_seed: int | None = None
    """Seed of the split and of the folds, below 2**32; None: `seed`.

    With a fixed value, runs with different values of `seed` have the same held-out clips.
    """
    synthetic: SyntheticConfig | None = None
    """Settings of the built-in set. It is generated in `features_dir` if it is missing there."""

    @property
    def has_label_table(self) -> bool:
        """Whether the labels are tables or pickles, not an array."""
        return bool(self.labels) and not self.labels.endswith(".npy")

    def _check(self) -> None:
        for number, name in enumerate(self.streams):
            fault = stream_name_fault(name)
            if fault or name in self.streams[:number]:
                raise ConfigError(
                    f"data.streams contains {name!r}, but a name "
                    f"{fault or 'must occur only once'}. Correct the names."
                )
        if fault := trait_names_fault(self.traits):
            raise ConfigError(f"data.traits is not valid: {fault}. Correct the names.")
        if self.validation_fraction + self.test_fraction >= 1.0:
            raise ConfigError(
                "data.validation_fraction + data.test_fraction must stay below 1; got "
                f"{self.validation_fraction} + {self.test_fraction}. Lower one of them."
            )
        if self.split_seed is not None and not 0 <= self.split_seed <= MAX_SEED:
            raise ConfigError(
                f"data.split_seed must lie in [0, {MAX_SEED}]; got {self.split_seed}."
            )
        labels = "" if self.has_label_table else self.labels
        files = (self.static_features, self.dynamic_features, labels, self.clips)
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
    """Fusion method. All methods except `cross_attention` are simple baselines."""
    fusion_dim: Annotated[int, Interval(ge=2)] = 128
    """Dimension of every token."""
    num_heads: Annotated[int, Interval(ge=1)] = 4
    """Number of attention heads. It must divide `fusion_dim`."""
    dropout_rate: Annotated[float, Interval(ge=0, lt=1)] = 0.3
    """Share of activations that dropout sets to 0 during training, in [0, 1)."""
    num_tokens: Annotated[int, Interval(ge=2)] = 8
    """Number of learned tokens for a stream with one vector per clip.

    Several tokens are needed, because the attention weight of a single key is always 1.
    """
    num_blocks: Annotated[int, Interval(ge=1)] = 1
    """Number of cross-attention blocks."""
    feed_forward_factor: Annotated[int, Interval(ge=1)] = 2
    """Width of the feed-forward layer of a block, as a multiple of `fusion_dim`."""
    static_encoder: str = ""
    """Encoder inside the model for a static stream of face crops, shape (N, T, H, W, 3).

    `conv` is a small network that is trained with the model. With the path of a `.keras` file, the
    encoder is the network in this file. The layers of this network are frozen, except the layers
    that match `training.trainable`.
    """
    dynamic_encoder: str = ""
    """Encoder inside the model for a stream of optical flow, shape (N, T, H, W, 2L)."""
    linear_skip: bool = True
    """Add a linear map of the pooled inputs to the logits."""
    linear_start: LinearStart = "zero"
    """Initial linear map: `zero`, or the `ridge` regression on the training clips.

    With `ridge`, training does not change the linear map, and the other layers contribute nothing
    at first. If training does not clearly improve the validation clips, the saved model is the
    model before training, which predicts the scores of the ridge regression (epoch 0).
    """

    def _check(self) -> None:
        if self.linear_start == "ridge" and not self.linear_skip:
            raise ConfigError(
                "model.linear_start=ridge needs model.linear_skip=true; got false. "
                "Use model.linear_start=zero, or keep the linear map."
            )
        if self.fusion_dim % self.num_heads:
            valid = [heads for heads in range(1, 33) if self.fusion_dim % heads == 0]
            raise ConfigError(
                f"model.num_heads must divide model.fusion_dim; got num_heads={self.num_heads}, "
                f"fusion_dim={self.fusion_dim}. Valid head counts: {valid}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig(Section):
    """Training of a model."""

    section: ClassVar[str] = "training"

    num_epochs: Annotated[int, Interval(ge=1)] = 50
    """Number of passes over the training clips."""
    batch_size: Annotated[int, Interval(ge=1)] = 32
    """Number of clips per step. The last batch of an epoch may be smaller."""
    loss: LossName | dict[LossName, float] = "mse"
    """One loss, or a weighted sum `{name: weight}`; `ccc` is 1 - CCC of the batch."""
    huber_delta: Annotated[float, Interval(gt=0)] = 0.1
    """Error, in score units, at which the huber loss changes from quadratic to linear."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Optimizer.

    References: Loshchilov & Hutter, 2019 (arXiv:1711.05101) for AdamW; Kingma & Ba, 2015
    (arXiv:1412.6980) for Adam.
    """
    learning_rate: Annotated[float, Interval(gt=0)] = 1e-3
    """Maximum learning rate of the schedule."""
    weight_decay: Annotated[float, Interval(ge=0)] = 1e-2
    """Decoupled weight decay of `adamw`; `adam` ignores it."""
    gradient_clip_norm: Annotated[float, Interval(ge=0)] = 1.0
    """Maximum global norm of the gradient; 0 turns clipping off."""
    schedule: Literal["warmup_cosine", "constant"] = "warmup_cosine"
    """Linear warm-up and then cosine decay to zero, or a constant learning rate."""
    warmup_epochs: float = 1.0
    """Length of the warm-up, in epochs; fractions are allowed."""
    monitor: Monitor = "mae"
    """Validation metric that selects the best epoch.

    Early stopping and learning-rate reduction also use it.
    """
    early_stopping_patience: Annotated[int, Interval(ge=0)] = 0
    """Epochs without improvement before training stops; 0 turns early stopping off."""
    reduce_lr_patience: Annotated[int, Interval(ge=0)] = 0
    """Epochs without improvement before a constant learning rate is reduced; 0 turns this off."""
    reduce_lr_factor: Annotated[float, Interval(gt=0, lt=1)] = 0.5
    """Factor that multiplies the learning rate at each reduction."""
    cache: Literal["memory", "disk"] = "memory"
    """Keep the features in memory, or read each batch from disk."""
    steps_per_execution: Annotated[int, Interval(ge=1)] = 32
    """Number of steps per call of the compiled graph. Metrics are still recorded per step."""
    trainable: tuple[str, ...] = ()
    """Name patterns of layers to unfreeze, e.g. `*`."""
    frozen: tuple[str, ...] = ()
    """Name patterns of layers to freeze, e.g. `static_*`. They override `trainable`."""
    num_folds: int = 0
    """Number of cross-validation folds; each group is in one fold. 0 uses a single split."""
    deterministic: bool = True
    """Use deterministic operations. Runs with equal seeds on one machine are then identical."""
    stream_dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Probability that a clip loses a stream during training, in [0, 1), but never all streams.

    If above 0, the model has a learned token for each absent stream. Use it if clips can lack a
    stream, e.g. the audio.
    """
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
                f"{self.schedule}, which changes the learning rate itself."
            )
        weights = self.loss_weights
        if not weights or not all(0 < weight < math.inf for weight in weights.values()):
            raise ConfigError(
                f"training.loss must name at least one loss, each weight above 0; got {self.loss}."
            )
        check_num_folds("training.num_folds", self.num_folds)

    @property
    def loss_weights(self) -> dict[LossName, float]:
        """The loss as a weighted sum `{name: weight}`."""
        return {self.loss: 1.0} if isinstance(self.loss, str) else dict(self.loss)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig(Section):
    """Evaluation of the trained model: intervals, subgroups and figures."""

    section: ClassVar[str] = "evaluation"

    num_resamples: Annotated[int, Interval(ge=100)] = 2000
    """Number of cluster-bootstrap resamples for each 95 % interval."""
    by: tuple[str, ...] = ()
    """Columns of the clip table that define subgroups, e.g. gender."""
    figures: bool = True
    """Analyse attention, draw the figures and write the report after training."""


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
    """Name of the run; empty uses the name of the experiment and the changed settings.

    With `mlflow run`, only the command line can give this setting.
    """
    package_model: bool = True
    """Log the model in a form that MLflow can load and serve."""
    registered_model: str = ""
    """Name under which the trained model is registered; empty registers no model."""
    alias: str = ""
    """Alias for the newest registered version, e.g. champion; empty sets no alias."""
    system_metrics: bool = True
    """Record the use of CPU and memory every few seconds."""
    patience_seconds: Annotated[float, Interval(gt=0)] = 10.0
    """Maximum wait for MLflow at the end of a run, in seconds.

    The command `sync` sends results that are still missing in MLflow.
    """

    def _check(self) -> None:
        check_registered_model("tracking.registered_model", self.registered_model)
        check_alias("tracking.alias", self.alias)
        if self.alias and not self.registered_model:
            raise ConfigError(
                f"tracking.alias={self.alias} needs tracking.registered_model, because an "
                "alias belongs to a registered model."
            )

    def unregistered(self) -> "TrackingConfig":
        """Return the same settings without registration of the model."""
        return dataclasses.replace(self, registered_model="", alias="")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig(Section):
    """Settings of a hyper-parameter search. The space file defines the parameters."""

    section: ClassVar[str] = "search"

    metric: Literal["accuracy", "mae", "mse", "r2", "pcc", "ccc"] = "mae"
    """Validation metric to optimize. This metric also selects the best epoch of each trial."""
    num_folds: int = 0
    """Number of cross-validation folds per trial; each group is in one fold. 0: a single split."""
    num_seeds: Annotated[int, Interval(ge=1)] = 1
    """Number of seeds per trial. Each seed needs its own fit."""
    second_objective: Literal["none", "weights", "latency_ms"] = "none"
    """Second objective, minimized: number of weights, or prediction time per clip in ms."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Tree-structured Parzen estimator (Bergstra et al., 2011), or random sampling."""
    num_startup_trials: Annotated[int, Interval(ge=1)] = 10
    """Number of random trials before the first proposal of the estimator."""
    pruner: Literal["hyperband", "successive_halving", "median", "none"] = "hyperband"
    """Method to stop weak trials early, e.g. hyperband (Li et al., 2018, arXiv:1603.06560).

    With two objectives, trials are never stopped early.
    """
    min_epochs: Annotated[int, Interval(ge=1)] = 5
    """Minimum number of epochs before a trial can be stopped."""
    reduction_factor: Annotated[int, Interval(ge=2)] = 3
    """Factor by which the number of trials is reduced at each stage.

    Only `hyperband` and `successive_halving` use it.
    """
    try_default: bool = True
    """Use the given configuration as the first trial, if the space contains it."""
    test_fraction: Annotated[float, Interval(gt=0, le=0.5)] = 0.2
    """Share of test clips, which trials never use. Ignored if a test split is given."""
    refit: Literal["train_validation", "train"] = "train_validation"
    """Clips for the final training of the best configuration.

    `train_validation` trains on the training and validation clips, up to the best epoch of the
    trial (the median over its fits). `train` trains on the training clips and selects the best
    epoch again on the validation clips.
    """
    alias: str = "best"
    """Alias of the recommended model in MLflow's registry.

    The model is registered only if `tracking.registered_model` is set. `tracking.alias` replaces
    this alias.
    """
    heartbeat_seconds: Annotated[int, Interval(ge=1)] = 10
    """Seconds between heartbeats of a trial. Three missing heartbeats cause a retry."""
    max_retries: Annotated[int, Interval(ge=0)] = 2
    """Maximum number of retries of a trial whose worker died."""

    def _check(self) -> None:
        check_alias("search.alias", self.alias)
        check_num_folds("search.num_folds", self.num_folds)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentConfig(Section):
    """All settings of one experiment."""

    name: str = "experiment"
    """Short name for run directories and MLflow runs."""
    description: str = ""
    """Purpose of the experiment, also shown as the description of the MLflow run."""
    seed: Annotated[int, Interval(ge=0, le=MAX_SEED)] = 0
    """Seed of all random numbers, below 2**32."""
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

    @property
    def split_seed(self) -> int:
        """Seed of the split and of the folds."""
        return self.seed if self.data.split_seed is None else self.data.split_seed


def to_dict(config: ExperimentConfig) -> dict[str, Any]:
    """Return the configuration as nested dictionaries of plain values, which YAML can represent."""
    values = dataclasses.asdict(config)
    lists = {
        "data": ("streams", "traits"),
        "evaluation": ("by",),
        "training": ("trainable", "frozen"),
    }
    for section, names in lists.items():
        for name in names:
            values[section][name] = list(values[section][name])
    return values
