"""A trial is a training like any other: its own run, with overrides, and a score."""

import json
import math

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.core.run_log import read_last_status
from pipeline.models.summary import count_weights
from pipeline.search.trial import TrialObjective, trial_config
from pipeline.search.trial_directory import trial_directory
from pipeline.search.worker import TrialSlot, Worker
from pipeline.workflows.features import open_features
from pipeline.workflows.train import build_for


def run(job):
    study = optuna.create_study(
        study_name=job.study_name, storage=job.open_storage(), directions=job.directions
    )
    outcome = Worker(job, TrialObjective(job)).run(TrialSlot(number=0))
    return study.get_trials()[outcome.trial]


def summary(job):
    return json.loads(trial_directory(job, 0).summary_path.read_text())


def test_the_configuration_of_a_trial_decides_by_what_is_searched_for(make_job):
    job = make_job(search__metric="ccc", training__monitor="mae", tracking__registered_model="m")
    config = trial_config(job, {"model.fusion_dim": 16})
    assert config.training.monitor == "ccc"
    assert config.model.fusion_dim == 16
    assert not config.tracking.package_model
    assert config.tracking.registered_model == ""


@pytest.mark.slow
def test_the_objective_is_the_best_value_of_a_fit_without_the_held_out_clips(make_job):
    job = make_job()
    trial = run(job)
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [summary(job)["best_value"]]
    assert trial.user_attrs["best_epochs"] == [summary(job)["best_epoch"]]
    assert list(trial.intermediate_values) == [1, 2]
    assert min(trial.intermediate_values.values()) == pytest.approx(trial.values[0])
    assert summary(job)["num_clips"]["test"] == 0
    assert sum(summary(job)["num_clips"].values()) < 60


@pytest.mark.slow
def test_a_trial_of_several_fits_is_their_mean(make_job):
    job = make_job(search__num_folds=2)
    trial = run(job)
    directory = trial_directory(job, 0)
    fits = [
        json.loads((path / "summary.json").read_text())
        for path in sorted(directory.folds_dir.iterdir())
    ]
    assert len(fits) == 2
    assert trial.values[0] == pytest.approx(sum(fit["best_value"] for fit in fits) / 2)
    assert trial.user_attrs["best_epochs"] == [fit["best_epoch"] for fit in fits]
    assert read_last_status(directory) == "FINISHED"


@pytest.mark.slow
def test_a_trial_that_diverges_fails_with_its_reason(make_job):
    job = make_job(training__learning_rate=1e30, training__gradient_clip_norm=0)
    trial = run(job)
    assert trial.state == TrialState.FAIL
    assert "The loss became nan in epoch 1" in trial.user_attrs["reason"]
    assert read_last_status(trial_directory(job, 0)) == "FAILED"


@pytest.mark.slow
@pytest.mark.parametrize("second", ["weights", "latency_ms"])
def test_the_second_objective_is_the_cost_of_the_model(make_job, second):
    job = make_job(search__second_objective=second, training__num_epochs=1)
    trial = run(job)
    assert trial.intermediate_values == {}
    cost = trial.values[1]
    if second == "weights":
        config = trial_config(job, trial.user_attrs["overrides"])
        network = build_for(config, open_features(config.data))
        assert cost == count_weights(network).total
    else:
        assert 0 < cost < math.inf
