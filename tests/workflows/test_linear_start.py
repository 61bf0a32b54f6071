"""A model that starts at the ridge regression of its training clips."""

import json

import numpy as np
import pytest

from pipeline.core.run_directory import RunDirectory

pytestmark = pytest.mark.slow

RIDGE = {"model__linear_start": "ridge"}
STILL = {"training__learning_rate": 1e-9}  # training changes almost nothing


def train(config, run_dir):
    from pipeline.workflows.train import run_training

    return run_training(config, run_dir=run_dir)


def test_a_new_model_predicts_the_scores_of_ridge(make_config, own_directory):
    run = train(make_config(**RIDGE, **STILL), own_directory / "run").run
    summary = json.loads(run.summary_path.read_text())
    report = json.loads(run.evaluation_path.read_text())
    assert summary["best_epoch"] == 0
    assert report["metrics"]["r2"]["mean"]["value"] == pytest.approx(
        report["baselines"]["ridge"]["r2"]["mean"]["value"], abs=1e-3
    )


def test_a_model_that_stays_at_ridge_keeps_its_trained_attention(make_config, own_directory):
    import keras

    from pipeline.workflows.attention import check_explainable, measure_attention
    from pipeline.workflows.features import open_features
    from pipeline.workflows.train import build_for

    # A learning rate of 0.1 harms the scores, so no epoch is better.
    config = make_config(**RIDGE, model__fusion="cross_attention", training__learning_rate=0.1)
    network = train(config, own_directory / "run").network
    features = open_features(config.data)
    assert network.is_linear
    check_explainable(network, features)
    measured = measure_attention(network, features, np.arange(10), seed=0)
    assert {"static", "dynamic"} == set(measured.trait_attention)
    found = {weight.path: np.asarray(weight) for weight in network.trainable_weights}
    keras.utils.set_random_seed(config.seed)
    new = build_for(config, features)  # with the initial weights of the run
    changed = [
        weight.path
        for weight in new.trainable_weights
        if "trait_head" not in weight.path and np.any(found[weight.path] != np.asarray(weight))
    ]
    assert any("attention" in path for path in changed)


def test_a_killed_run_is_resumed_to_the_same_curve_and_model(
    make_config, own_directory, monkeypatch
):
    from pipeline.training.best_epoch import BestEpoch
    from pipeline.workflows.train import resume_training

    config = make_config(**RIDGE, training__num_epochs=3, training__learning_rate=0.01)
    whole = train(config, own_directory / "whole")

    save = BestEpoch.on_epoch_end

    def kill_after_two(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BestEpoch, "on_epoch_end", kill_after_two)
        with pytest.raises(KeyboardInterrupt):
            train(config, own_directory / "killed")
    resumed = resume_training(own_directory / "killed")
    assert resumed.history.history == whole.history.history
    for one, two in zip(resumed.network.variables, whole.network.variables, strict=True):
        np.testing.assert_array_equal(one, two)


def test_each_fold_starts_at_its_own_ridge(make_config, own_directory):
    finished = train(make_config(**RIDGE, **STILL, training__num_folds=2), own_directory / "run")
    kernels = []
    for path in sorted(finished.run.folds_dir.iterdir()):
        from pipeline.models.persistence import load_model

        kernels.append(
            np.asarray(load_model(RunDirectory(path).model_path).get_layer("linear_skip").kernel)
        )
    assert np.any(kernels[0])
    assert np.any(kernels[0] != kernels[1])
    # No fold has left ridge, so the final model stays at the ridge regression of all clips.
    assert finished.network.is_linear
    assert np.any(np.asarray(finished.network.get_layer("linear_skip").kernel) != kernels[0])
    ridge = finished.report.baselines["ridge"]["r2"]["mean"].value
    assert finished.report.metrics["r2"]["mean"].value == pytest.approx(ridge, abs=1e-3)


def test_runs_with_the_same_split_seed_have_the_same_split(make_config, own_directory):
    def split(number, **settings):
        run = train(make_config(**settings), own_directory / f"run-{number}").run
        return run.split_path.read_bytes()

    first, second = (split(seed, seed=seed, data__split_seed=7) for seed in (1, 2))
    assert first == second
    assert first == split(3, seed=7)
    assert first != split(4, seed=1)


def test_one_line_names_too_few_validation_groups(make_config, own_directory, caplog):
    train(make_config(), own_directory / "run")
    (line,) = [each for each in caplog.messages if "prediction intervals" in each]
    assert "needs at least 9 held-out groups" in line
    assert "there were 2" in line
