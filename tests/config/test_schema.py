"""Names, defaults and ranges of settings are public. Settings must fit together."""

import ast
import dataclasses
import math

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
)

from pipeline.config.checks import range_message, ranges_of
from pipeline.config.extraction import ExtractionConfig, uses_network
from pipeline.config.loading import load_config, load_extraction_config, setting_type
from pipeline.config.schema import (
    DataConfig,
    ExperimentConfig,
    ModelConfig,
    SearchConfig,
    SyntheticConfig,
    TrackingConfig,
    TrainingConfig,
)
from pipeline.core.errors import ConfigError

BAD_VALUES = [
    ("seed", -1, "seed must lie in [0, 4294967295]; got -1."),
    ("seed", 2**32, "seed must lie in [0, 4294967295]; got 4294967296."),
    ("data.validation_fraction", 0.95, "must lie in [0.0, 0.9]; got 0.95."),
    ("data.validation_fraction", math.nan, "must lie in [0.0, 0.9]; got nan."),
    ("data.test_fraction", 0.8, "must stay below 1; got 0.2 + 0.8."),
    ("data.synthetic.noise", 0.3, "must lie in [0.0, 0.2]; got 0.3."),
    ("model.num_heads", 0, "must be at least 1; got 0."),
    ("model.num_heads", 3, "got num_heads=3, fusion_dim=128. Valid head counts: [1, 2"),
    ("model.dropout_rate", 1.0, "must lie in [0, 1); got 1.0."),
    ("model.dropout_rate", -0.1, "must lie in [0, 1); got -0.1."),
    ("training.reduce_lr_patience", 2, "needs training.schedule=constant; got warmup_cosine,"),
    ("training.reduce_lr_factor", 1.0, "must lie in (0, 1); got 1.0."),
    ("training.reduce_lr_factor", 0.0, "must lie in (0, 1); got 0.0."),
    ("training.learning_rate", 0.0, "must be above 0; got 0.0."),
    ("training.learning_rate", math.inf, "must be above 0; got inf."),
    ("training.warmup_epochs", 51.0, "got warmup_epochs=51.0, num_epochs=50."),
    ("training.warmup_epochs", -1.0, "got warmup_epochs=-1.0, num_epochs=50."),
    ("training.loss", {}, "at least one loss, each weight above 0; got {}."),
    ("training.loss", {"mse": 0.0}, "each weight above 0; got {'mse': 0.0}."),
    ("training.loss", {"mse": math.nan}, "each weight above 0; got {'mse': nan}."),
    ("training.num_folds", 1, "must be 0 (one split) or at least 2; got 1."),
    ("training.num_folds", -2, "must be 0 (one split) or at least 2; got -2."),
    ("search.num_folds", 1, "must be 0 (one split) or at least 2; got 1."),
    ("search.test_fraction", 0.0, "must lie in (0, 0.5]; got 0.0."),
    ("search.test_fraction", 0.6, "must lie in (0, 0.5]; got 0.6."),
]
BAD_EXTRACTION_VALUES = [
    ("sampling.pair_seconds", 0.0, "must be above 0; got 0.0."),
    ("faces.crop_px", 100, "got 100. The nearest is 96."),
    ("static.encoder", "resnet50", "static.weights must be given"),
    ("static.weights", "imagenet", "must be empty for static.encoder=hog"),
    ("dynamic.encoder", "resnet50", "dynamic.weights must be given"),
    ("projection.method", "pca", "fitted on all clips"),
    ("projection.method", "sparse", "must be gaussian; got 'sparse'."),
    ("num_shown", -1, "must be at least 0; got -1."),
]


@pytest.mark.parametrize(
    ("schema", "load", "name", "value", "message"),
    [
        *((ExperimentConfig, load_config, *case) for case in BAD_VALUES),
        *((ExtractionConfig, load_extraction_config, *case) for case in BAD_EXTRACTION_VALUES),
    ],
)
def test_a_bad_value_is_the_same_error_in_a_file_and_in_a_program(
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
    is_finite = "nan" not in str(value) and "inf" not in str(value)  # pydantic has its own error
    assert (str(in_program.value) if is_finite else name) in str(from_file.value)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (DataConfig, {"validation_fraction": 0.0}),
        (DataConfig, {"validation_fraction": 0.9}),
        (DataConfig, {"validation_fraction": 0.5, "test_fraction": 0.4}),
        (ModelConfig, {"dropout_rate": 0.0, "num_heads": 1, "fusion_dim": 2}),
        (TrainingConfig, {"num_epochs": 1, "warmup_epochs": 1.0}),
        (TrainingConfig, {"schedule": "constant", "reduce_lr_patience": 1}),
        (TrainingConfig, {"schedule": "constant", "num_epochs": 2, "warmup_epochs": 5.0}),
        (TrainingConfig, {"gradient_clip_norm": 0.0, "num_folds": 2}),
        (SearchConfig, {"test_fraction": 0.5}),
    ],
)
def test_boundary_values_are_allowed(schema, values):
    config = schema(**values)
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        *(
            (DataConfig, {"features_dir": "x", name: "x"}, "exclude each other")
            for name in ("static_features", "dynamic_features", "labels", "clips")
        ),
        (DataConfig, {"streams": ("a", "a")}, "data.streams contains 'a', .* only once"),
        (DataConfig, {"streams": ("a b",)}, "data.streams contains 'a b', .* letters"),
        (DataConfig, {"traits": ("a", "a")}, "data.traits is not valid: a occurs twice"),
        (DataConfig, {"static_features": "x", "synthetic": SyntheticConfig()}, r"data\.synthetic"),
        (TrackingConfig, {"alias": "best"}, r"needs tracking\.registered_model"),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(section, values, message):
    with pytest.raises(ConfigError, match=message):
        section(**values)


def check_alias_as_mlflow_does(alias):
    _validate_model_alias_name(alias)
    _validate_model_alias_name_reserved(alias)


@pytest.mark.parametrize("name", ["a/b", "a:b", "a/b:c", " ", ".", "../a"])
def test_a_model_name_that_mlflow_rejects_is_an_error(name):
    with pytest.raises(MlflowException):
        _validate_model_name(name)
    with pytest.raises(ConfigError, match=r"tracking\.registered_model=.* cannot be the name"):
        TrackingConfig(registered_model=name)


@pytest.mark.parametrize("alias", ["v1", "V2", "latest", "Latest", "a b", "a/b", "a" * 256])
def test_an_alias_that_mlflow_rejects_is_an_error(alias):
    with pytest.raises(MlflowException):
        check_alias_as_mlflow_does(alias)
    with pytest.raises(ConfigError, match=r"tracking\.alias=.* cannot be an alias"):
        TrackingConfig(registered_model="ocean", alias=alias)
    with pytest.raises(ConfigError, match=r"search\.alias=.* cannot be an alias"):
        SearchConfig(alias=alias)


@pytest.mark.parametrize("name", ["ocean", "Ocean 2", "a..", "persönlich"])
@pytest.mark.parametrize("alias", ["champion", "version-1", "v1a", "beste_größe"])
def test_names_and_aliases_that_mlflow_accepts_are_accepted(name, alias):
    _validate_model_name(name)
    check_alias_as_mlflow_does(alias)
    assert TrackingConfig(registered_model=name, alias=alias).alias == alias


def test_a_loss_is_returned_as_a_weighted_sum():
    assert TrainingConfig(loss="ccc").loss_weights == {"ccc": 1.0}
    config = TrainingConfig(loss={"mse": 1.0, "ccc": 0.5})
    config.loss_weights["mse"] = -1.0
    assert config.loss_weights == {"mse": 1.0, "ccc": 0.5}


def fields_of(schema, prefix=""):
    """Yield each setting with its default and, for a number, its range."""
    for field in dataclasses.fields(schema):
        name = f"{prefix}{field.name}"
        kind = setting_type(field.name, "", schema)
        is_section = dataclasses.is_dataclass(kind)
        if not is_section or field.default is None:
            allowed = ranges_of(schema).get(field.name)
            message = range_message(allowed, "").partition(";")[0] if allowed else ""
            yield f"{name} = {field.default!r} {message}".strip()
        if is_section:
            yield from fields_of(kind, f"{name}.")


@pytest.mark.parametrize(
    ("schema", "golden"),
    [(ExperimentConfig, "config_fields.txt"), (ExtractionConfig, "extraction_fields.txt")],
)
def test_names_defaults_and_ranges_equal_the_golden_file(repository, schema, golden):
    expected = (repository / "tests" / "golden" / golden).read_text("utf-8").splitlines()
    assert list(fields_of(schema)) == expected


@pytest.mark.parametrize(("module", "num_sections"), [("schema", 8), ("extraction", 6)])
def test_every_field_has_a_docstring(repository, module, num_sections):
    source = (repository / "pipeline" / "config" / f"{module}.py").read_text("utf-8")
    sections = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(sections) == num_sections
    for node in sections:
        for statement, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
            is_field = isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(
                statement.annotation
            )
            assert not is_field or isinstance(after, ast.Expr), ast.unparse(statement)


@pytest.mark.parametrize("name", ["default", "resnet50"])
def test_the_extraction_files_of_the_project_load(repository, name):
    config = load_extraction_config(repository / "experiments" / "extraction" / f"{name}.yaml")
    assert uses_network(config) == (name != "default")
    assert (config == ExtractionConfig()) == (name == "default")
