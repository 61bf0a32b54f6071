"""Output, run directory and MLflow run of `train`."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.config.loading import flatten, load_config
from pipeline.config.size_defaults import settings_for_size
from pipeline.core.traits import TRAITS

pytestmark = pytest.mark.slow

FILES = {
    *("config.yaml", "events.jsonl", "data.json", "split.csv", "summary.json", "evaluation.json"),
    *("environment.json", "model.keras", "baselines.npz", "mlflow.json"),
    *("batch_metrics/metrics_history.json", "time_tracking/time_logs.json"),
    *("lr_tracking/lr_logs.json", "predictions/validation.csv", "checkpoints/LAST"),
}


@pytest.fixture(scope="module")
def client(first, workspace):
    return MlflowClient(tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}")


@pytest.fixture(scope="module")
def tracked(client, first):
    return client.get_run(json.loads((first / "mlflow.json").read_text())["run_id"])


@pytest.fixture(scope="module")
def inputs(features_dir):
    return [np.load(features_dir / name) for name in ("static.npy", "dynamic.npy")]


def read_history(run_dir):
    history = json.loads((run_dir / "batch_metrics" / "metrics_history.json").read_text())
    return history["epoch"], history["batch"]


def test_the_output_shows_scores_baselines_and_paths(trained, first):
    assert trained.err == ""
    for part in ("in 40 groups.", "95 % intervals", "ridge regression", "what to distrust: "):
        assert part in trained.out
    assert f"run: {first}" in trained.out
    assert f"model: {first / 'model.keras'}" in trained.out


def test_the_output_is_short_and_ends_with_the_next_commands(trained, first):
    lines = trained.out.splitlines()
    assert len(lines) <= 20
    assert "same_group_mean" not in trained.out
    steps = lines[lines.index("next:") + 1 :]
    assert any(line.endswith(f"evaluate --run_dir {first.name} --split test") for line in steps)
    assert any("mlflow ui" in line for line in steps)
    assert not any("make " in line for line in steps)


def test_tables_of_all_traits_are_printed_on_request(run_here, first, workspace):
    result = run_here("train", "--resume", first, "--verbose", cwd=workspace)
    assert result.status == 0, result.err
    for part in ("ridge r2", "same_group_mean r2", "groups in both", "extraversion"):
        assert part in result.out


def test_without_a_configuration_file_the_settings_fit_the_number_of_clips(trained, first):
    (line,) = [line for line in trained.out.splitlines() if line.startswith("settings for ")]
    assert line.startswith("settings for 144 training clips: model.num_tokens=")
    chosen = settings_for_size(144)
    given = {"training.num_epochs": 2, "training.batch_size": 32, "model.fusion_dim": 16}
    assert not any(f"{name}=" in line for name in given)
    recorded = flatten(load_config(first / "config.yaml"))
    assert {name: recorded[name] for name in chosen} == {**chosen, **given}


def test_a_configuration_file_is_used_as_it_is(run_here, features_dir, tmp_path):
    (tmp_path / "mine.yaml").write_text("training: {num_epochs: 1}\n")
    options = ("--config", "mine.yaml", "--features_dir", features_dir, "--run_dir", "mine")
    outputs = ("--tracking.enabled", "false", "--evaluation.figures", "false")
    result = run_here("train", *options, *outputs, "--model.fusion", "concat", cwd=tmp_path)
    assert result.status == 0, result.err
    assert "settings for" not in result.out
    recorded = load_config(tmp_path / "mine" / "config.yaml")
    assert recorded.model.linear_start == "zero"
    assert recorded.model.fusion_dim == 128


def test_the_run_directory_has_all_files(first):
    assert {name for name in FILES if not (first / name).is_file()} == set()


def test_the_three_logs_have_the_keys_that_existing_tools_read(first):
    epoch, batch = read_history(first)
    times = json.loads((first / "time_tracking" / "time_logs.json").read_text())
    rates = json.loads((first / "lr_tracking" / "lr_logs.json").read_text())
    assert {
        *("loss", "val_loss", "metrics", "val_metrics", "learning_rate", "epoch_numbers")
    } <= epoch.keys()
    assert {"loss", "metrics", "learning_rate", "batch_numbers"} <= batch.keys()
    assert {"epoch_times", "batch_times", "total_training_time"} <= times.keys()
    assert rates.keys() == {"epoch", "learning_rate", "is_reduction"}
    num_steps = 2 * -(-144 // 32)
    assert epoch["epoch_numbers"] == [1, 2]
    assert batch["batch_numbers"] == list(range(1, num_steps + 1))
    assert len(times["batch_times"]) == num_steps


def test_every_clip_and_every_group_is_in_one_subset(first, features_dir):
    split = pd.read_csv(first / "split.csv")
    assert split.groupby("group")["split"].nunique().max() == 1
    assert split["clip_id"].tolist() == pd.read_csv(features_dir / "clips.csv")["clip_id"].tolist()
    assert split["split"].value_counts().to_dict() == {"train": 144, "validation": 48, "test": 48}


@pytest.mark.parametrize("name", ["first.h5", "again.keras", "again.weights.h5"])
def test_a_saved_model_gives_exactly_the_scores_from_the_run(
    name, first, workspace, inputs, run_here
):
    import keras

    from pipeline import load_model

    if not (workspace / name).exists():
        assert run_here("train", "--resume", first, "--output", name, cwd=workspace).status == 0
    network = load_model(first / "model.keras")
    expected = network.predict_on_batch(inputs)
    if name.endswith(".weights.h5"):
        for weight in network.weights:
            weight.assign(keras.ops.zeros_like(weight))
        network.load_weights(workspace / name)
    else:
        network = load_model(workspace / name)
    np.testing.assert_array_equal(network.predict_on_batch(inputs), expected)


def test_stored_predictions_equal_the_output_of_the_saved_model(first, features_dir, inputs):
    from pipeline import load_model

    table = pd.read_csv(first / "predictions" / "validation.csv")
    rows = pd.read_csv(features_dir / "clips.csv").reset_index().set_index("clip_id")["index"]
    held_out = [values[rows[table["clip_id"]]] for values in inputs]
    scores = load_model(first / "model.keras").predict_on_batch(held_out)
    np.testing.assert_array_equal(table[list(TRAITS)].to_numpy(np.float32), scores)


def test_mlflow_has_status_parameters_and_description(tracked):
    assert tracked.info.status == "FINISHED"
    parameters = tracked.data.params
    assert tracked.info.run_name.startswith(Path(parameters["data.features_dir"]).name)
    assert parameters["training.num_epochs"] == "2"
    assert parameters["model.num_heads"] == "2"
    assert not {"", "None", "[]", "unknown"} & set(parameters.values())
    note = tracked.data.tags["mlflow.note.content"]
    assert "first experiment\n" in note
    assert note.startswith("**accuracy ")
    assert "validation clips of 8 groups" in note.partition("\n")[0]


def test_mlflow_has_the_code_version(tracked, repository):
    tags = tracked.data.tags
    if (repository / ".git").exists():
        command = ["git", "cat-file", "-t", tags["git.commit"]]
        kind = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
        assert kind.stdout == "commit\n"
        assert tags["git.is_dirty"] in ("True", "False")


def test_mlflow_has_every_subset_point_and_file(tracked, client):
    run_id = tracked.info.run_id
    subsets = {each.tags[0].value: each.dataset for each in tracked.inputs.dataset_inputs}
    assert {"train", "validation", "test"} <= subsets.keys()
    assert json.loads(subsets["test"].profile)["num_clips"] == 48
    for name, last_step in (("per_epoch/ccc/val", 2), ("step/loss", 10)):
        steps = [point.step for point in client.get_metric_history(run_id, name)]
        assert steps == list(range(1, last_step + 1))
    assert client.get_metric_history(run_id, "usage/process_memory_mb")
    assert {
        *("config.yaml", "environment.json", "summary.json", "evaluation.json", "split.csv"),
        *("batch_metrics", "time_tracking", "lr_tracking", "predictions"),
    } <= {each.path for each in client.list_artifacts(run_id)}


def test_the_same_seed_gives_identical_files(run_here, first, workspace, features_dir, settings):
    second = workspace / "second"
    result = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", second, *settings),
        *("--training.num_epochs", 2, "--tracking.enabled", "false"),
        cwd=workspace,
    )
    assert result.status == 0, result.err
    for name in ("predictions/validation.csv", "split.csv", "lr_tracking/lr_logs.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    assert read_history(first) == read_history(second)
    assert not (second / "mlflow.json").exists()
