"""Read a space file. A mistake in the file is an error with file, name and fix."""

import pytest
import yaml

from pipeline.config.loading import load_config
from pipeline.core.errors import ConfigError
from pipeline.search.space.space_file import load_space


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a space from text or plain values."""

    def read_space(content):
        path = tmp_path / "tiny.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_space(path, load_config())

    return read_space


def test_model_settings_may_have_short_names(read):
    space = read(
        "name: mine\nparameters:\n  fusion_dim: [64, 128]\n  dropout_rate: {low: 0, high: 0.5}\n"
        "  training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
    )
    assert space.name == "mine"
    assert space.to_json()["parameters"] == {
        "model.fusion_dim": {"choices": [64, 128]},
        "model.dropout_rate": {"low": 0.0, "high": 0.5},
        "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    }


def test_parameters_are_sorted_by_dependency(read):
    patience = {"low": 1, "high": 4, "when": {"training.schedule": "constant"}}
    parameters = {
        "num_heads": [1, 2, 3],
        "training.reduce_lr_patience": patience,
        "training.schedule": ["constant", "warmup_cosine"],
        "fusion_dim": [64, 96],
    }
    names = [each.name for each in read({"parameters": parameters}).parameters]
    assert names.index("model.fusion_dim") < names.index("model.num_heads")
    assert names.index("training.schedule") < names.index("training.reduce_lr_patience")


def test_a_mapping_can_be_a_choice_and_the_default_name_is_the_file_name(read):
    space = read({"parameters": {"training.loss": ["mse", {"mse": 1.0, "ccc": 0.5}]}})
    assert space.name == "tiny"
    encoded = space.encode({"training.loss": {"ccc": 0.5, "mse": 1.0}})
    assert encoded == {"training.loss": '{"ccc": 0.5, "mse": 1.0}'}


RATE = {"low": 0.0, "high": 0.5}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fusion_dims": [8, 16]}, "unknown setting fusion_dims; did you mean fusion_dim?"),
        ({"learning_rate": [1, 2]}, "did you mean training.learning_rate?"),
        ({"training.learning_rat": RATE}, "did you mean training.learning_rate?"),
        ({"trainin.batch_size": [8, 16]}, "did you mean training.batch_size?"),
        ({"nope": [1]}, "settings of the model: fusion, "),
        ({"seed": [1, 2]}, "seed: cannot be searched: a lucky seed"),
        ({"data.validation_fraction": RATE}, "cannot be searched"),
        ({"training.monitor": ["mae", "r2"]}, "search.metric"),
        ({"fusion_dim": 64}, "a list of choices, or {low, high}; got 64"),
        ({"fusion_dim": [64]}, "at least two; got [64]"),
        ({"fusion_dim": [64, 64]}, "choice 64 is given twice"),
        ({"fusion_dim": {"choices": [8, 16], "log": True}}, "choices and log exclude each other"),
        ({"dropout_rate": {"low": 0.0, "hihg": 0.5}}, "unknown key hihg; did you mean high?"),
        ({"dropout_rate": {"low": 0.1}}, "high is missing"),
        ({"dropout_rate": {"low": 0.5, "high": 0.1}}, "low must be below high; got low 0.5"),
        ({"dropout_rate": {"low": "1e-4", "high": 0.1}}, "low must be a number (write 1.0e-4"),
        ({"fusion_dim": {"low": 8.5, "high": 64}}, "low must be a whole number; got 8.5"),
        ({"fusion_dim": {"low": True, "high": 64}}, "low must be a whole number; got True"),
        ({"dropout_rate": {**RATE, "step": 0.3}}, "high must be a whole number of steps above"),
        ({"dropout_rate": {**RATE, "step": 0.1, "log": True}}, "log and step exclude each other"),
        ({"dropout_rate": {**RATE, "log": True}}, "log needs low above 0; got 0.0"),
        ({"dropout_rate": {**RATE, "log": "yes"}}, "log must be true or false; got 'yes'"),
        ({"fusion": {"low": 1, "high": 2}}, "give a list of choices from cross"),
        ({"fusion": ["concat", "sum"]}, "model.fusion"),
        ({"dropout_rate": {"low": 0.0, "high": 1.5}}, "model.dropout_rate must lie in [0, 1)"),
        ({"dropout_rate": {**RATE, "when": {"fusion": "late"}}}, "model.fusion is not searched"),
        (
            {"dropout_rate": {**RATE, "when": {"fusion": "sum"}}, "fusion": ["concat", "late"]},
            "model.fusion is never 'sum'",
        ),
        ({"dropout_rate": {**RATE, "when": "late"}}, "when must be {other: value}"),
        ({"fusion_dim": [8, 16], "model.fusion_dim": [8, 16]}, "model.fusion_dim is given twice"),
        (
            {
                "fusion": {"choices": ["concat", "late"], "when": {"num_blocks": 1}},
                "num_blocks": {"choices": [1, 2], "when": {"fusion": "late"}},
            },
            "cycle: model.fusion -> model.num_blocks -> model.fusion",
        ),
    ],
)
def test_a_mistake_in_a_parameter_is_an_error(read, parameters, message):
    with pytest.raises(ConfigError) as error:
        read({"parameters": parameters})
    assert message in str(error.value)
    assert "tiny.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: []", "must have `parameters`"),
        ("", "must have `parameters`"),
        ("parametres: {fusion_dim: [8, 16]}", "unknown key parametres; did you mean parameters?"),
        ("fusion_dim: [16, 32]", "unknown key fusion_dim; valid: name, parameters. Put settings"),
        ("parameters: {fusion_dim: [8, 16], fusion_dim: [8, 32]}", "is given twice"),
    ],
)
def test_a_file_without_valid_parameters_is_an_error(read, text, message):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("experiment", "space"),
    [("demo.yaml", "demo.yaml"), ("first_impressions.yaml", "cross_attention.yaml")],
)
def test_the_spaces_of_the_project_include_the_default_configuration(repository, experiment, space):
    base = load_config(repository / "experiments" / experiment)
    loaded = load_space(repository / "experiments" / "search" / space, base)
    assert loaded.encode(loaded.defaults()) is not None
