import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.loading import (
    config_hash,
    flatten,
    load_config,
    load_run_config,
    with_overrides,
    write_config,
)
from pipeline.config.schema import (
    MAX_SEED,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    ModelConfig,
    SyntheticConfig,
    TrackingConfig,
    TrainingConfig,
)
from pipeline.core.errors import ConfigError

FRACTIONS = st.floats(0.0, 0.4)
POSITIVE = st.floats(1e-9, 1e3)
COUNTS = st.integers(1, 1000)
CONFIGS = st.builds(
    ExperimentConfig,
    name=st.text(),
    description=st.text(),
    seed=st.integers(0, MAX_SEED),
    data=st.builds(
        DataConfig,
        features_dir=st.text(),
        validation_fraction=FRACTIONS,
        test_fraction=FRACTIONS,
        synthetic=st.none() | st.builds(SyntheticConfig, noise=st.floats(0.0, 0.2)),
    ),
    model=st.builds(
        ModelConfig,
        fusion=st.sampled_from(["cross_attention", "late"]),
        fusion_dim=COUNTS.map(lambda number: 4 * number),
        dropout_rate=st.floats(0.0, 1.0, exclude_max=True),
        linear_skip=st.booleans(),
    ),
    training=st.builds(
        TrainingConfig,
        num_epochs=COUNTS,
        loss=st.just("mae")
        | st.dictionaries(st.sampled_from(["mae", "mse", "huber", "ccc"]), POSITIVE, min_size=1),
        learning_rate=POSITIVE,
        deterministic=st.booleans(),
    ),
    evaluation=st.builds(EvaluationConfig, by=st.lists(st.text(), max_size=3).map(tuple)),
    tracking=st.builds(TrackingConfig, run_name=st.text(), enabled=st.booleans()),
)


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes YAML to a file and returns the path."""

    def write_yaml(text: str, name: str = "experiment.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_yaml


def error_of(path: Path | None, **overrides: Any) -> str:
    """Return the one-line error message of `load_config`."""
    with pytest.raises(ConfigError) as error:
        load_config(path, overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


class TestFile:
    def test_no_file_gives_the_defaults(self):
        assert load_config() == ExperimentConfig()

    def test_a_number_without_a_decimal_point_is_read(self, write):
        assert load_config(write("training: {learning_rate: 1e-4}")).training.learning_rate == 1e-4

    def test_a_merged_key_may_be_overridden(self, write):
        text = "evaluation: {<<: {num_resamples: 500, by: [age]}, by: [gender]}"
        config = load_config(write(text))
        assert config.evaluation == EvaluationConfig(num_resamples=500, by=("gender",))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("sed: 1", "unknown key sed; did you mean seed?"),
            ("training: {learning_rte: 1}", "unknown key training.learning_rte; did you mean "),
            ("data: {synthetic: {nose: 1}}", "unknown key data.synthetic.nose; did you mean "),
            ("num_epochs: 3", "unknown key num_epochs; did you mean training.num_epochs?"),
            ("search: {prunner: none}", "unknown key search.prunner; did you mean search.pruner"),
            ("faces: {}\nsampling: {num_steps: 4}", "expected the configuration of an experiment"),
            ("model: {xyz: 1}", "unknown key model.xyz; valid keys: fusion, fusion_dim, num_heads"),
            ("1: x", "unknown key 1; valid keys: name, description, seed"),
            ("seed: x", "seed: input should be a valid integer, unable to parse"),
            ("training: {num_epochs: 2.5}", "training.num_epochs: input should be a valid integer"),
            ("training: {optimizer: sgd}", "training.optimizer: input should be 'adamw' or 'adam'"),
            ("training: {loss: foo}", "training.loss: input should be 'mae', 'mse', 'huber' or"),
            ("training: {loss: {foo: 1}}", "training.loss.foo: input should be 'mae', 'mse',"),
            ("training: {loss: {mse: x}}", "training.loss.mse: input should be a valid number"),
            ("training: {learning_rate: .nan}", "training.learning_rate: input should be a finite"),
            ("training: {num_epochs: 0}", "training.num_epochs must be at least 1; got 0."),
            ("training:", "training: is empty; give a value, or delete the line."),
            ("training: 5", "training: must be a section with settings; got 5."),
            ("training: {num_epochs: }", "training.num_epochs: is empty; give a value, or"),
            ("search: {pruner: hyperbad}", "search.pruner: input should be 'hyperband', "),
            ("evaluation: {by: [[a]]}", "evaluation.by.0: input should be a valid string; got"),
        ],
    )
    def test_an_unknown_key_or_a_bad_value_is_an_error(self, write, text, message):
        path = write(text)
        assert error_of(path).startswith(f"{path}: {message}")


class TestExtends:
    def test_a_child_overrides_its_parent(self, write):
        write("name: base\ntraining: {num_epochs: 7, batch_size: 8}\n", "base.yaml")
        config = load_config(write("extends: base.yaml\ntraining: {batch_size: 16}\n"))
        assert config.name == "base"
        assert (config.training.num_epochs, config.training.batch_size) == (7, 16)

    def test_the_parent_is_relative_to_the_child(self, write, tmp_path, monkeypatch):
        (tmp_path / "ablations").mkdir()
        write("name: base\n", "base.yaml")
        child = write("extends: ../base.yaml\n", "ablations/child.yaml")
        monkeypatch.chdir("/")
        assert load_config(child).name == "base"

    def test_a_loss_mix_replaces_the_loss_mix_of_the_parent(self, write):
        write("training: {loss: {mse: 1.0, ccc: 0.5}}\n", "base.yaml")
        child = write("extends: base.yaml\ntraining: {loss: {mae: 1.0}}\n")
        assert load_config(child).training.loss == {"mae": 1.0}

    def test_a_section_can_be_removed(self, write):
        write("data: {features_dir: f, synthetic: {num_clips: 60}}\n", "base.yaml")
        child = write("extends: base.yaml\ndata: {synthetic: null}\n")
        assert load_config(child).data.synthetic is None

    def test_a_second_level_is_an_error(self, write):
        write("seed: 1\n", "a.yaml")
        write("extends: a.yaml\n", "b.yaml")
        message = error_of(write("extends: b.yaml\n"))
        assert "extends b.yaml, but b.yaml also extends a file" in message
        assert "Copy the settings of a.yaml into b.yaml" in message


class TestOverrides:
    def test_an_override_replaces_the_value_of_the_file(self, write):
        path = write("training: {num_epochs: 7, batch_size: 8}\n")
        config = load_config(path, {"training.num_epochs": "20"})
        assert (config.training.num_epochs, config.training.batch_size) == (20, 8)

    def test_an_override_creates_an_optional_section(self):
        config = load_config(overrides={"data.synthetic.num_clips": "60"})
        assert config.data.synthetic == SyntheticConfig(num_clips=60)

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("[gender, age]", ("gender", "age")),
            ("gender,age", ("gender", "age")),
            ("gender", ("gender",)),
            ("", ()),
        ],
    )
    def test_a_list_is_parsed_as_yaml_or_split_at_commas(self, text, names):
        assert load_config(overrides={"evaluation.by": text}).evaluation.by == names

    @pytest.mark.parametrize(
        "text", ["007", "2024-01-05", "yes", "null", "a: b", "#1", "@x", "", " x ", "[a]", "1e3"]
    )
    def test_a_string_setting_is_not_parsed(self, text):
        assert load_config(overrides={"name": text}).name == text

    def test_the_overrides_of_the_caller_do_not_change(self):
        overrides = {"training.loss": {"mse": 1.0}}
        load_config(overrides=overrides)
        assert overrides == {"training.loss": {"mse": 1.0}}

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("sed", "1", "--sed: unknown key sed; did you mean --seed?"),
            ("training.epochs", "1", "--training.epochs: unknown key training.epochs; did you"),
            ("training.loss.mse", "1", "--training.loss.mse: training.loss is a single value"),
            ("seed.x", "1", "--seed.x: seed is a single value"),
            ("training.num_epochs", "{", "--training.num_epochs: '{' is not a valid value."),
            ("seed", "2024-13-45", "--seed: '2024-13-45' is not a valid value."),
            ("training.num_epochs", "0", "overrides: training.num_epochs must be at least 1; got"),
            ("training.num_epochs", "", "overrides: training.num_epochs: input should be a valid"),
            ("data.synthetic", "5", "overrides: data.synthetic: must be a section with settings"),
        ],
    )
    def test_a_bad_override_is_an_error(self, name, value, message):
        assert error_of(None, **{name: value}).startswith(message)

    @pytest.mark.parametrize(
        ("name", "setting"),
        [
            ("epochs", "training.num_epochs"),
            ("lr", "training.learning_rate"),
            ("training.lr", "training.learning_rate"),
            ("batch_size", "training.batch_size"),
            ("dropout", "model.dropout_rate"),
            ("model.heads", "model.num_heads"),
        ],
    )
    def test_a_usual_short_name_suggests_the_setting(self, name, setting):
        assert error_of(None, **{name: "1"}).endswith(f"did you mean --{setting}?")

    @given(CONFIGS)
    @settings(max_examples=50)
    def test_the_flat_form_loads_as_the_same_configuration(self, config):
        assert load_config(overrides=flatten(config)) == config

    @given(CONFIGS)
    @settings(max_examples=50)
    def test_overrides_as_text_load_as_the_same_configuration(self, config):
        plain = bool | int | float | str
        typed = {name: str(v) for name, v in flatten(config).items() if isinstance(v, plain)}
        loaded = flatten(load_config(overrides=typed))
        assert {name: loaded[name] for name in typed} == {
            name: value for name, value in flatten(config).items() if name in typed
        }


class TestWriting:
    @given(CONFIGS)
    @settings(max_examples=50)
    def test_a_written_configuration_loads_unchanged(self, tmp_path_factory, config):
        path = tmp_path_factory.getbasetemp() / "config.yaml"
        write_config(path, config)
        assert load_config(path) == config

    def test_a_written_configuration_is_readable_yaml(self, tmp_path):
        write_config(tmp_path / "config.yaml", ExperimentConfig(name="Zoë"))
        lines = (tmp_path / "config.yaml").read_text(encoding="utf-8").splitlines()
        assert lines[:4] == ["name: Zoë", "description: ''", "seed: 0", "data:"]


class TestHash:
    @pytest.mark.parametrize(
        ("name", "value", "changes"),
        [
            ("tracking.enabled", False, False),
            ("tracking.run_name", "x", False),
            ("search.pruner", "median", False),
            ("training.huber_delta", 0.2, True),
        ],
    )
    def test_only_settings_that_affect_the_result_change_the_hash(self, name, value, changes):
        changed = load_config(None, {name: value})
        assert (config_hash(changed) != config_hash(ExperimentConfig())) == changes


def test_every_experiment_of_the_project_loads(repository):
    files = sorted((repository / "experiments").rglob("*.yaml"))
    paths = [path for path in files if path.parent.name not in ("search", "extraction")]
    assert repository / "experiments" / "demo.yaml" in paths
    names = [load_config(path).name for path in paths if path.parent.name != "extraction"]
    assert len(set(names)) == len(names)


def test_an_error_in_an_override_does_not_name_the_file(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text("name: mine\n")
    with pytest.raises(ConfigError, match=r"^overrides: training\.num_epochs.*1\.5"):
        load_config(path, {"training.num_epochs": "1.5"})
    path.write_text("name: mine\ntraining: {num_epochs: 0}\n")
    with pytest.raises(ConfigError, match=r"experiment\.yaml: training\.num_epochs.*0"):
        load_config(path, {"seed": "3"})


def test_a_truncated_run_configuration_is_an_error(tmp_path):
    path = tmp_path / "config.yaml"
    config = load_config(None, {"training.weight_decay": 0.3, "search.max_retries": 25})
    write_config(path, config)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            found = load_run_config(path)
        except ConfigError:
            continue
        # Training does not use the last section, `search`.
        assert dataclasses.replace(found, search=config.search) == config, size


def test_text_from_a_search_space_is_not_parsed_like_a_command_line_option():
    with pytest.raises(ConfigError, match=r"space\.yaml: training\.loss"):
        with_overrides(ExperimentConfig(), {"training.loss": "{mae: 1.0}"}, source="space.yaml")
