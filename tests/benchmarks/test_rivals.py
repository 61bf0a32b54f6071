"""The rivals of the benchmark train and use the same model as the pipeline."""

import sys
import time

import numpy as np
import pytest

from benchmarks.data import PAIR, write_set
from benchmarks.processes import measurer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def features_dir(tmp_path_factory):
    """A set of 60 clips."""
    return write_set(tmp_path_factory.mktemp("data") / "features", PAIR, num_clips=60)


def test_all_programs_train_the_same_weights_for_the_same_number_of_steps(
    own_directory, features_dir
):
    from benchmarks.measure import recorded_fit
    from benchmarks.rivals import plain_fit

    job = {"features_dir": str(features_dir), "batch_size": 16, "num_epochs": 2}
    # The automatic logging of MLflow changes `fit` of Keras, so it needs a process.
    with measurer("benchmarks.rivals.tracked_fit", own_directory / "rival") as process:
        measured = [
            plain_fit.measure(**job, work_dir="plain"),
            recorded_fit.measure(**job, work_dir="runs/recorded"),
            process.measure(**job, work_dir="tracked"),
        ]
    assert all(each["clips_per_second"] > 0 for each in measured)
    # 48 training clips in batches of 16, two epochs.
    assert [each["num_steps"] for each in measured] == [6, 6, 6]
    assert len({each["num_weights"] for each in measured}) == 1


def test_keras_predicts_with_the_saved_model_for_all_clips(tmp_path, features_dir, monkeypatch):
    from benchmarks.problem import build_problem
    from benchmarks.rivals import keras_predict
    from pipeline.models.persistence import save_model

    problem = build_problem(features_dir, batch_size=16, num_epochs=1)
    save_model(problem.network, tmp_path / "model.keras")
    output = tmp_path / "scores.npy"
    arguments = [str(tmp_path / "model.keras"), str(features_dir), str(output)]
    monkeypatch.setattr(sys, "argv", ["keras_predict.py", *arguments])
    keras_predict.main()
    inputs, _ = problem.arrays(np.arange(60))
    np.testing.assert_allclose(np.load(output), problem.network(inputs), atol=1e-6)


def test_the_plain_loop_prints_its_best_error_and_its_start(
    tmp_path, features_dir, monkeypatch, capsys, repository
):
    from benchmarks.rivals import optuna_loop

    config = tmp_path / "config.yaml"
    config.write_text("training: {num_epochs: 2}\nmodel: {fusion_dim: 8}\n")
    space = repository / "experiments" / "search" / "cross_attention.yaml"
    files = ("--config", str(config), "--space", str(space), "--features_dir", str(features_dir))
    monkeypatch.setattr(sys, "argv", ["optuna_loop", *files, "--num_trials", "1"])
    optuna_loop.main()
    best, began = map(float, capsys.readouterr().out.split())
    assert 0 < best < 0.5
    assert 0 < time.time() - began < 300
