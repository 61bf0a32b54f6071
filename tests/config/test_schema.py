"""Every setting has one home, a default, a docstring and a guard."""

import ast
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

from pipeline.config.schema import (
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    ModelConfig,
    SyntheticConfig,
    TrackingConfig,
    TrainingConfig,
    to_dict,
)
from pipeline.config.search import SearchConfig
from pipeline.core.errors import ConfigError

SECTIONS = {
    "": ExperimentConfig,
    "data": DataConfig,
    "data.synthetic": SyntheticConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
    "tracking": TrackingConfig,
}

REFUSED = [
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
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_a_value_out_of_range_is_refused_with_the_value(name, value, message):
    section, _, field = name.rpartition(".")
    with pytest.raises(ConfigError) as refusal:
        SECTIONS[section](**{field: value})
    assert f"{name} " in str(refusal.value)
    assert message in str(refusal.value)


def test_every_number_has_a_guard():
    guarded = {name for name, _, _ in REFUSED}
    numbers = {
        f"{section}.{field.name}".lstrip(".")
        for section, schema in SECTIONS.items()
        for field in dataclasses.fields(schema)
        if typing.get_type_hints(schema)[field.name] in (int, float)
    }
    assert numbers <= guarded


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


@pytest.mark.parametrize("file", ["static_features", "dynamic_features", "labels", "clips"])
def test_a_directory_and_single_files_exclude_each_other(file):
    with pytest.raises(ConfigError, match=r"exclude each other; give either the directory or"):
        DataConfig(features_dir="features", **{file: "x"})


def test_the_built_in_set_does_not_stand_beside_single_files():
    with pytest.raises(ConfigError, match=r"data\.synthetic makes the set of data\.features_dir"):
        DataConfig(static_features="x", synthetic=SyntheticConfig())


def test_a_loss_is_read_as_a_mix():
    assert TrainingConfig(loss="ccc").loss_weights == {"ccc": 1.0}
    mix = {"mse": 1.0, "ccc": 0.5}
    assert TrainingConfig(loss=mix).loss_weights == mix


def test_the_mix_that_is_handed_out_is_a_copy():
    config = TrainingConfig(loss={"mse": 1.0})
    config.loss_weights["mse"] = -1.0
    assert config.loss == {"mse": 1.0}


def test_an_alias_needs_a_registered_model():
    with pytest.raises(ConfigError, match=r"needs tracking\.registered_model"):
        TrackingConfig(alias="best")


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


def test_a_run_that_is_not_registered_has_no_alias_either():
    tracking = TrackingConfig(registered_model="ocean", alias="best").unregistered()
    assert (tracking.registered_model, tracking.alias) == ("", "")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExperimentConfig().seed = 1


def test_plain_values_hold_no_tuples():
    values = to_dict(ExperimentConfig(evaluation=EvaluationConfig(by=("gender",))))
    assert values["evaluation"]["by"] == ["gender"]


class TestSurface:
    """The names and defaults are an interface: configurations and scripts hang on them."""

    def test_fields_and_defaults_are_those_of_the_golden_file(self, repository):
        golden = repository / "tests" / "golden" / "config_fields.txt"
        assert list(_fields(ExperimentConfig, "")) == golden.read_text("utf-8").splitlines()

    def test_every_field_has_a_docstring(self, repository):
        sources = [
            repository / "pipeline" / "config" / f"{name}.py" for name in ("schema", "search")
        ]
        bodies = [ast.parse(source.read_text("utf-8")).body for source in sources]
        classes = [node for body in bodies for node in body if isinstance(node, ast.ClassDef)]
        assert len(classes) == 8
        undocumented = [name for node in classes for name in _undocumented(node)]
        assert undocumented == []


def _fields(schema: typing.Any, prefix: str) -> typing.Iterator[str]:
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        name = f"{prefix}{field.name}"
        options = (hints[field.name], *typing.get_args(hints[field.name]))
        section = next((kind for kind in options if dataclasses.is_dataclass(kind)), None)
        if section is None or field.default is None:
            yield f"{name} = {field.default!r}"
        if section is not None:
            yield from _fields(section, f"{name}.")


def _undocumented(node: ast.ClassDef) -> list[str]:
    following = zip(node.body, [*node.body[1:], ast.Pass()], strict=True)
    return [
        f"{node.name}.{ast.unparse(statement.target)}"
        for statement, after in following
        if isinstance(statement, ast.AnnAssign)
        and not ast.unparse(statement.annotation).startswith("ClassVar")
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]
