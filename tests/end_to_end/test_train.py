"""`train`: what it prints, what it leaves, what arrives in MLflow."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

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


def model_inputs(features_dir):
    return [np.load(features_dir / name) for name in ("static.npy", "dynamic.npy")]


def test_it_ends_well_and_says_nothing_that_it_need_not(trained):
    assert trained.status == 0
    assert trained.err == ""


def test_it_prints_the_scores_beside_the_baselines_and_where_everything_is(trained, first):
    for words in ("95 % intervals", "ridge r2", "same_group_mean r2", "groups shared by"):
        assert words in trained.out
    assert f"run: {first}" in trained.out
    assert f"model: {first / 'model.keras'}" in trained.out


def test_the_run_directory_holds_the_files_of_the_contract(first):
    assert {name for name in FILES if not (first / name).is_file()} == set()


def test_the_logs_have_the_keys_that_tools_of_the_field_read(first):
    history = json.loads((first / "batch_metrics" / "metrics_history.json").read_text())
    times = json.loads((first / "time_tracking" / "time_logs.json").read_text())
    rates = json.loads((first / "lr_tracking" / "lr_logs.json").read_text())
    assert {
        *("loss", "val_loss", "metrics", "val_metrics", "learning_rate", "epoch_numbers")
    } <= history["epoch"].keys()
    assert {"loss", "metrics", "learning_rate", "batch_numbers"} <= history["batch"].keys()
    assert {"epoch_times", "batch_times", "total_training_time"} <= times.keys()
    assert rates.keys() == {"epoch", "learning_rate", "is_reduction"}
    num_steps = 2 * -(-144 // 32)
    assert history["epoch"]["epoch_numbers"] == [1, 2]
    assert history["batch"]["batch_numbers"] == list(range(1, num_steps + 1))
    assert len(times["batch_times"]) == num_steps


def test_whole_groups_are_on_one_side_and_every_clip_is_on_one(first, features_dir):
    split = pd.read_csv(first / "split.csv")
    assert split.groupby("group")["split"].nunique().max() == 1
    assert split["clip_id"].tolist() == pd.read_csv(features_dir / "clips.csv")["clip_id"].tolist()
    assert split["split"].value_counts().to_dict() == {"train": 144, "validation": 48, "test": 48}


@pytest.mark.parametrize("name", ["first.h5", "again.keras", "again.h5"])
def test_a_saved_model_scores_to_the_bit_what_the_model_of_the_run_scores(
    name, first, workspace, features_dir, run_here
):
    from pipeline import load_model

    if not (workspace / name).exists():
        assert run_here("train", "--resume", first, "--output", name, cwd=workspace).status == 0
    inputs = model_inputs(features_dir)
    expected = load_model(first / "model.keras").predict_on_batch(inputs)
    np.testing.assert_array_equal(load_model(workspace / name).predict_on_batch(inputs), expected)


def test_saved_weights_score_to_the_bit_what_the_model_of_the_run_scores(
    first, workspace, features_dir, run_here
):
    import keras

    from pipeline import load_model

    name = "again.weights.h5"
    assert run_here("train", "--resume", first, "--output", name, cwd=workspace).status == 0
    network = load_model(first / "model.keras")
    inputs = model_inputs(features_dir)
    expected = network.predict_on_batch(inputs)
    for weight in network.weights:
        weight.assign(keras.ops.zeros_like(weight))
    network.load_weights(workspace / name)
    np.testing.assert_array_equal(network.predict_on_batch(inputs), expected)


def test_the_predictions_are_those_of_the_saved_model(first, features_dir):
    from pipeline import load_model

    table = pd.read_csv(first / "predictions" / "validation.csv")
    rows = pd.read_csv(features_dir / "clips.csv").reset_index().set_index("clip_id")["index"]
    inputs = [values[rows[table["clip_id"]]] for values in model_inputs(features_dir)]
    scores = load_model(first / "model.keras").predict_on_batch(inputs)
    predicted = table[list(TRAITS)].to_numpy(np.float32)
    np.testing.assert_array_equal(predicted, scores)


def test_the_run_is_in_mlflow_and_finished(tracked):
    assert tracked.info.status == "FINISHED"
    assert tracked.info.run_name == "experiment"


def test_the_settings_are_parameters(tracked):
    assert tracked.data.params["config.training.num_epochs"] == "2"
    assert tracked.data.params["config.model.num_heads"] == "2"
    assert all(name.startswith(("config.", "weights.", "overlap.")) for name in tracked.data.params)


def test_the_code_and_the_versions_behind_the_run_are_tags(tracked, repository):
    tags = tracked.data.tags
    assert {"version.keras", "version.tensorflow", "version.mlflow", "python"} <= tags.keys()
    if (repository / ".git").exists():
        kind = ["git", "cat-file", "-t", tags["git.commit"]]
        found = subprocess.run(kind, cwd=repository, capture_output=True, text=True, check=True)
        assert found.stdout == "commit\n"
        assert tags["git.is_dirty"] in ("True", "False")


def test_the_description_says_what_it_is_for_and_what_came_of_it(tracked):
    note = tracked.data.tags["mlflow.note.content"]
    assert note.startswith("what it is for\n")
    assert "held-out clips of 8 groups" in note


def test_each_side_of_the_split_is_a_data_set_of_the_run(tracked):
    roles = {each.tags[0].value: each.dataset for each in tracked.inputs.dataset_inputs}
    assert roles.keys() == {"train", "validation", "test"}
    assert json.loads(roles["test"].profile)["num_clips"] == 48


def test_every_point_of_a_metric_is_there_once(tracked, client):
    def steps(name):
        return [point.step for point in client.get_metric_history(tracked.info.run_id, name)]

    assert steps("validation/ccc/openness") == [1, 2]
    assert steps("batch/loss") == list(range(1, 11))
    assert len(steps("system/process_memory_megabytes")) >= 1


def test_mlflow_has_the_files_of_the_run(tracked, client):
    found = {each.path for each in client.list_artifacts(tracked.info.run_id)}
    assert {
        *("config.yaml", "environment.json", "summary.json", "evaluation.json", "split.csv"),
        *("batch_metrics", "time_tracking", "lr_tracking", "predictions"),
    } <= found


def test_two_processes_with_one_seed_come_to_the_same_bits(
    run_here, first, workspace, features_dir, settings
):
    twin = run_here(
        *("train", "--features_dir", features_dir, "--run_dir", "twin"),
        *("--training.num_epochs", 2, "--tracking.enabled", "false", *settings),
        *("--evaluation.figures", "false"),
        cwd=workspace,
    )
    assert twin.status == 0, twin.err
    one, two = workspace / "first", workspace / "twin"
    for name in ("predictions/validation.csv", "split.csv", "lr_tracking/lr_logs.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    histories = [
        json.loads((path / "batch_metrics" / "metrics_history.json").read_text())
        for path in (one, two)
    ]
    assert histories[0]["epoch"] == histories[1]["epoch"]
    assert histories[0]["batch"] == histories[1]["batch"]
    assert not (two / "mlflow.json").exists()
