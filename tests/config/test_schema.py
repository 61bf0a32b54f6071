"""Names and defaults of settings are an interface; settings must fit each other."""

import ast
import dataclasses

import pytest

from pipeline.config.extraction import ExtractionConfig, is_network
from pipeline.config.loading import load_extraction_config, setting_type
from pipeline.config.schema import (
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    SyntheticConfig,
    TrackingConfig,
    TrainingConfig,
    to_dict,
)
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (DataConfig, {"features_dir": "x", "static_features": "x"}, "exclude each other"),
        (DataConfig, {"features_dir": "x", "dynamic_features": "x"}, "exclude each other"),
        (DataConfig, {"features_dir": "x", "labels": "x"}, "exclude each other"),
        (DataConfig, {"features_dir": "x", "clips": "x"}, "exclude each other"),
        (DataConfig, {"static_features": "x", "synthetic": SyntheticConfig()}, r"data\.synthetic"),
        (TrackingConfig, {"alias": "best"}, r"needs tracking\.registered_model"),
    ],
)
def test_settings_that_do_not_fit_each_other_raise_an_error(section, values, message):
    with pytest.raises(ConfigError, match=message):
        section(**values)


def test_a_loss_is_read_as_a_mix():
    assert TrainingConfig(loss="ccc").loss_weights == {"ccc": 1.0}
    config = TrainingConfig(loss={"mse": 1.0, "ccc": 0.5})
    config.loss_weights["mse"] = -1.0
    assert config.loss_weights == {"mse": 1.0, "ccc": 0.5}


def test_a_run_that_is_not_registered_has_no_alias_either():
    tracking = TrackingConfig(registered_model="ocean", alias="best").unregistered()
    assert (tracking.registered_model, tracking.alias) == ("", "")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExperimentConfig().seed = 1


def test_plain_values_hold_no_tuples():
    values = to_dict(ExperimentConfig(evaluation=EvaluationConfig(by=("gender",))))
    assert values["evaluation"]["by"] == ["gender"]


@pytest.mark.parametrize(
    ("schema", "golden"),
    [(ExperimentConfig, "config_fields.txt"), (ExtractionConfig, "extraction_fields.txt")],
)
def test_fields_and_defaults_are_those_of_the_golden_file(repository, schema, golden):
    expected = (repository / "tests" / "golden" / golden).read_text("utf-8").splitlines()
    assert list(_fields(schema, "")) == expected


@pytest.mark.parametrize(
    ("module", "num_sections"), [("schema", 7), ("search", 1), ("extraction", 6)]
)
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
    assert is_network(config) == (name != "default")
    assert (config == ExtractionConfig()) == (name == "default")


def _fields(schema, prefix):
    for field in dataclasses.fields(schema):
        name = f"{prefix}{field.name}"
        kind = setting_type(field.name, "", schema)
        is_section = dataclasses.is_dataclass(kind)
        if not is_section or field.default is None:
            yield f"{name} = {field.default!r}"
        if is_section:
            yield from _fields(kind, f"{name}.")
