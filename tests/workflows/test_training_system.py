import dataclasses
import logging

import keras
import numpy as np
import pytest

from pipeline.config.loading import load_run_config
from pipeline.core.errors import FeatureSetError, RunError

pytestmark = pytest.mark.slow


@pytest.fixture
def make_system(own_directory, small_features, make_config):
    """Return a function that makes a training system on the small set."""
    from pipeline import TrainingSystem

    def make(**arguments):
        settings = {
            "static_features_path": small_features / "static.npy",
            "dynamic_features_path": small_features / "dynamic.npy",
            "labels_path": small_features / "labels.npy",
            "clips_path": small_features / "clips.csv",
            "config": make_config(),
        }
        return TrainingSystem(**{**settings, **arguments})

    return make


def test_invalid_features_are_an_error_at_once(make_system, tmp_path):
    np.save(tmp_path / "labels.npy", np.full((60, 5), 50.0))
    with pytest.raises(FeatureSetError, match="divide by 100"):
        make_system(labels_path=tmp_path / "labels.npy")


def test_results_before_the_training_are_an_error(make_system):
    system = make_system()
    with pytest.raises(RunError, match="Call train_model first"):
        system.analyze_results()
    with pytest.raises(RunError, match="Call train_model first"):
        _ = system.run


def test_a_model_is_trained_saved_and_analysed(make_system, make_config, own_directory, caplog):
    # The warm-up is longer than the training.
    training = dataclasses.replace(make_config().training, num_epochs=9, warmup_epochs=5.0)
    config = dataclasses.replace(make_config(), training=training)
    system = make_system(output_dir="mine", experiment_name="first try", config=config)
    with caplog.at_level(logging.INFO, logger="pipeline"):
        model, history = system.train_model(epochs=2, batch_size=16, output_path="out/model.keras")
    assert history.epoch == [0, 1]
    assert system.run.path == own_directory / "mine"
    assert (own_directory / "out" / "model.keras").exists()
    assert str(system.run.path) in caplog.text
    report = system.analyze_results(model, history)
    assert report.num_clips == 10
    with pytest.raises(RunError, match="must be the model that the last call"):
        system.analyze_results(system.build_model())
    with pytest.raises(RunError, match="must be the history that the last call"):
        system.analyze_results(model, keras.callbacks.History())


def test_without_a_configuration_the_settings_fit_the_number_of_clips(make_system, caplog):
    with caplog.at_level(logging.INFO, logger="pipeline"):
        model = make_system(config=None).config.model
    assert (model.fusion_dim, model.linear_start) == (16, "ridge")
    assert "settings for 50 training clips: model.fusion_dim=16" in caplog.text


def test_a_given_configuration_is_not_changed(make_system, make_config):
    given = make_config(name="mine", data__validation_fraction=0.4, data__traits=["openness"])
    config = make_system(config=given).config
    assert dataclasses.replace(config, data=given.data) == given
    assert config.data.validation_fraction == 0.4
    assert config.data.traits == ("openness",)


def test_arguments_have_priority_over_the_configuration(make_system):
    config = make_system(val_split=0.5, experiment_name="other").config
    assert config.data.validation_fraction == 0.5
    assert (config.name, config.tracking.experiment) == ("other", "other")


def test_the_configuration_sets_the_epochs_and_the_batch_size(make_system, make_config):
    config = make_config(training__num_epochs=3, training__batch_size=25, training__warmup_epochs=1)
    system = make_system(config=config)
    _, history = system.train_model()
    assert history.epoch == [0, 1, 2]
    trained = load_run_config(system.run.config_path).training
    assert (trained.num_epochs, trained.batch_size) == (3, 25)


def test_cross_validation_is_analysed_by_out_of_fold_scores(make_system, make_config):
    system = make_system(config=make_config(training__num_folds=2))
    system.train_model(epochs=1)
    assert system.analyze_results().num_clips == 60
