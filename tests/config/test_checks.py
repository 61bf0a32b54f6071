"""Every number of a configuration has a range, and a value out of it raises a clear error."""

import dataclasses
import math
import typing

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
)

from pipeline.config.extraction import ExtractionConfig
from pipeline.config.loading import load_config, load_extraction_config, setting_type
from pipeline.config.schema import (
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    ModelConfig,
    SyntheticConfig,
    TrackingConfig,
    TrainingConfig,
)
from pipeline.config.search import SearchConfig
from pipeline.core.errors import ConfigError

OUT_OF_RANGE = [
    ("seed", -1, "seed must lie in [0, 4294967295]; got -1."),
    ("seed", 2**32, "seed must lie in [0, 4294967295]; got 4294967296."),
    ("data.validation_fraction", -0.1, "must lie in [0.0, 0.9]; got -0.1."),
    ("data.validation_fraction", 0.95, "must lie in [0.0, 0.9]; got 0.95."),
    ("data.validation_fraction", math.nan, "must lie in [0.0, 0.9]; got nan."),
    ("data.test_fraction", -0.1, "must lie in [0.0, 0.9]; got -0.1."),
    ("data.test_fraction", 0.8, "must stay below 1; got 0.2 + 0.8."),
    ("data.synthetic.num_clips", 1, "must be at least 2; got 1."),
    ("data.synthetic.clips_per_group", 0, "must be at least 1; got 0."),
    ("data.synthetic.num_steps", 1, "must be at least 2; got 1."),
    ("data.synthetic.static_dim", 7, "must be at least 8; got 7."),
    ("data.synthetic.dynamic_dim", 1, "must be at least 2; got 1."),
    ("data.synthetic.noise", 0.3, "must lie in [0.0, 0.2]; got 0.3."),
    ("data.synthetic.seed", -1, "must be at least 0; got -1."),
    ("model.fusion_dim", 0, "must be at least 2; got 0."),
    ("model.num_heads", 0, "must be at least 1; got 0."),
    ("model.num_heads", 3, "got num_heads=3, fusion_dim=128. Head counts that do: [1, 2, 4, 8,"),
    ("model.num_tokens", 1, "must be at least 2; got 1."),
    ("model.num_blocks", 0, "must be at least 1; got 0."),
    ("model.feed_forward_factor", 0, "must be at least 1; got 0."),
    ("model.dropout_rate", 1.0, "must lie in [0, 1); got 1.0."),
    ("model.dropout_rate", -0.1, "must lie in [0, 1); got -0.1."),
    ("model.dropout_rate", math.nan, "must lie in [0, 1); got nan."),
    ("training.num_epochs", 0, "must be at least 1; got 0."),
    ("training.batch_size", 0, "must be at least 1; got 0."),
    ("training.steps_per_execution", 0, "must be at least 1; got 0."),
    ("training.early_stopping_patience", -1, "must be at least 0; got -1."),
    ("training.reduce_lr_patience", -1, "must be at least 0; got -1."),
    ("training.reduce_lr_patience", 2, "needs training.schedule=constant; got warmup_cosine,"),
    ("training.reduce_lr_factor", 1.0, "must lie in (0, 1); got 1.0."),
    ("training.reduce_lr_factor", 0.0, "must lie in (0, 1); got 0.0."),
    ("training.gradient_clip_norm", -1.0, "must be at least 0; got -1.0."),
    ("training.gradient_clip_norm", math.nan, "must be at least 0; got nan."),
    ("training.weight_decay", -0.1, "must be at least 0; got -0.1."),
    ("training.learning_rate", 0.0, "must be above 0; got 0.0."),
    ("training.learning_rate", math.nan, "must be above 0; got nan."),
    ("training.learning_rate", math.inf, "must be above 0; got inf."),
    ("training.huber_delta", 0.0, "must be above 0; got 0.0."),
    ("training.warmup_epochs", 51.0, "got warmup_epochs=51.0, num_epochs=50."),
    ("training.warmup_epochs", -1.0, "got warmup_epochs=-1.0, num_epochs=50."),
    ("training.loss", {}, "at least one loss, each weight above 0; got {}."),
    ("training.loss", {"mse": 0.0}, "each weight above 0; got {'mse': 0.0}."),
    ("training.loss", {"mse": math.nan}, "each weight above 0; got {'mse': nan}."),
    ("training.num_folds", 1, "must be 0 (one split) or at least 2; got 1."),
    ("training.num_folds", -2, "must be 0 (one split) or at least 2; got -2."),
    ("evaluation.num_resamples", 99, "must be at least 100; got 99."),
    ("tracking.patience_seconds", 0.0, "must be above 0; got 0.0."),
    ("tracking.patience_seconds", math.inf, "must be above 0; got inf."),
    ("search.num_folds", 1, "must be 0 (one split) or at least 2; got 1."),
    ("search.num_seeds", 0, "must be at least 1; got 0."),
    ("search.num_startup_trials", 0, "must be at least 1; got 0."),
    ("search.min_epochs", 0, "must be at least 1; got 0."),
    ("search.reduction_factor", 1, "must be at least 2; got 1."),
    ("search.test_fraction", 0.0, "must lie in (0, 0.5]; got 0.0."),
    ("search.test_fraction", 0.6, "must lie in (0, 0.5]; got 0.6."),
    ("search.heartbeat_seconds", 0, "must be at least 1; got 0."),
    ("search.max_retries", -1, "must be at least 0; got -1."),
]
EXTRACTION_OUT_OF_RANGE = [
    ("sampling.num_steps", 0, "must be at least 1; got 0."),
    ("sampling.pair_seconds", 0.0, "must be above 0; got 0.0."),
    ("sampling.min_coverage", 1.1, "must lie in [0.0, 1.0]; got 1.1."),
    ("faces.detect_px", 20, "must be at least 48; got 20."),
    ("faces.min_confidence", -1.0, "must lie in [0.0, 1.0]; got -1.0."),
    ("faces.min_share", 1.5, "must lie in [0.0, 1.0]; got 1.5."),
    ("faces.crop_px", 16, "must be at least 32; got 16."),
    ("faces.crop_px", 100, "got 100. The nearest is 96."),
    ("static.dim", -1, "must be at least 0; got -1."),
    ("static.image_px", 8, "must be at least 32; got 8."),
    ("static.encoder", "resnet50", "static.weights must be given"),
    ("static.weights", "imagenet", "must be empty for static.encoder=hog"),
    ("dynamic.encoder", "resnet50", "dynamic.weights must be given"),
    ("dynamic.dim", -1, "must be at least 0; got -1."),
    ("dynamic.num_pairs", 0, "must be at least 1; got 0."),
    ("projection.seed", -1, "must be at least 0; got -1."),
    ("projection.method", "pca", "fitted on all clips"),
    ("projection.method", "sparse", "must be gaussian; got 'sparse'."),
    ("time_limit_seconds", 0.0, "must be above 0; got 0.0."),
    ("num_shown", -1, "must be at least 0; got -1."),
]

CASES = [
    *((ExperimentConfig, load_config, *case) for case in OUT_OF_RANGE),
    *((ExtractionConfig, load_extraction_config, *case) for case in EXTRACTION_OUT_OF_RANGE),
]


@pytest.mark.parametrize(("schema", "load", "name", "value", "message"), CASES)
def test_a_value_out_of_its_range_raises_the_same_error_from_a_file_and_in_a_program(
    schema, load, name, value, message
):
    section, _, field = name.rpartition(".")
    section_type = setting_type(section, "", schema) if section else schema
    with pytest.raises(ConfigError) as in_program:
        section_type(**{field: value})
    assert name in str(in_program.value)
    assert message in str(in_program.value)
    with pytest.raises(ConfigError) as from_file:
        load(None, {name: value})
    is_finite = "nan" not in str(value) and "inf" not in str(value)  # pydantic rejects these first
    assert (str(in_program.value) if is_finite else name) in str(from_file.value)


@pytest.mark.parametrize(
    ("schema", "cases"),
    [(ExperimentConfig, OUT_OF_RANGE), (ExtractionConfig, EXTRACTION_OUT_OF_RANGE)],
)
def test_every_number_has_a_range(schema, cases):
    assert set(numbers(schema, "")) <= {name for name, _, _ in cases}


def numbers(schema, prefix):
    for field in dataclasses.fields(schema):
        kind = setting_type(field.name, "", schema)
        if dataclasses.is_dataclass(kind):
            yield from numbers(kind, f"{prefix}{field.name}.")
        elif typing.get_type_hints(schema)[field.name] in (int, float):
            yield f"{prefix}{field.name}"


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (DataConfig, {"validation_fraction": 0.0}),
        (DataConfig, {"validation_fraction": 0.9}),
        (DataConfig, {"validation_fraction": 0.5, "test_fraction": 0.4}),
        (SyntheticConfig, {"num_clips": 2, "clips_per_group": 1, "noise": 0.0}),
        (ModelConfig, {"dropout_rate": 0.0, "num_heads": 1, "fusion_dim": 2}),
        (TrainingConfig, {"num_epochs": 1, "warmup_epochs": 1.0}),
        (TrainingConfig, {"schedule": "constant", "reduce_lr_patience": 1}),
        (TrainingConfig, {"schedule": "constant", "num_epochs": 2, "warmup_epochs": 5.0}),
        (TrainingConfig, {"gradient_clip_norm": 0.0, "weight_decay": 0.0}),
        (TrainingConfig, {"num_folds": 2}),
        (EvaluationConfig, {"num_resamples": 100}),
    ],
)
def test_the_ends_of_the_ranges_are_allowed(schema, values):
    config = schema(**values)
    assert {name: getattr(config, name) for name in values} == values


def check_alias_as_mlflow_does(alias):
    _validate_model_alias_name(alias)
    _validate_model_alias_name_reserved(alias)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a/b:c", " ", ".", "../a"])
def test_a_name_that_mlflows_registry_refuses_is_refused_before_training(name):
    with pytest.raises(MlflowException):
        _validate_model_name(name)
    with pytest.raises(ConfigError, match=r"tracking\.registered_model=.* cannot be the name"):
        TrackingConfig(registered_model=name)


@pytest.mark.parametrize("alias", ["v1", "V2", "latest", "Latest", "a b", "a/b", "a" * 256])
def test_an_alias_that_mlflows_registry_refuses_is_refused_before_training(alias):
    with pytest.raises(MlflowException):
        check_alias_as_mlflow_does(alias)
    with pytest.raises(ConfigError, match=r"tracking\.alias=.* cannot be an alias"):
        TrackingConfig(registered_model="ocean", alias=alias)
    with pytest.raises(ConfigError, match=r"search\.alias=.* cannot be an alias"):
        SearchConfig(alias=alias)


@pytest.mark.parametrize("name", ["ocean", "Ocean 2", "a..", "persönlich"])
@pytest.mark.parametrize("alias", ["champion", "version-1", "v1a", "beste_größe"])
def test_a_name_and_an_alias_that_mlflows_registry_accepts_are_accepted(name, alias):
    _validate_model_name(name)
    check_alias_as_mlflow_does(alias)
    assert TrackingConfig(registered_model=name, alias=alias).alias == alias
