"""A trial trains the proposed configuration in its own run, and reports each epoch."""

import json
import math

import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from pipeline.core.errors import PrunedError
from pipeline.core.run_log import read_last_status
from pipeline.models.trainability import count_weights
from pipeline.search.study.retries import IS_DEFAULT
from pipeline.search.trial import EpochReport, TrialObjective, trial_config
from pipeline.search.worker import Worker
from pipeline.workflows.features import open_features
from pipeline.workflows.train import build_for
from tests.search.conftest import create_study


class AlwaysPrune(BasePruner):
    """Pruner that prunes every trial."""

    def prune(self, study, trial):
        return True


def make_report(pruner=None, *, is_default=False, study=None, **settings):
    """Return a report of a new trial, and a function that returns the reported values."""
    study = study or optuna.create_study(pruner=pruner or NopPruner())
    trial = study.ask()
    trial.set_user_attr(IS_DEFAULT, is_default)
    settings = {"num_epochs": 10, "num_steps": 10, "is_reported": True, **settings}
    report = EpochReport(trial, monitor="val_mae", **settings)
    return report, lambda: study.get_trials()[trial.number].intermediate_values


def end_epoch(report, epoch, value):
    report.on_epoch_end(epoch - 1, {"val_mae": value, "loss": 9.0})
    report.commit()


def test_an_epoch_is_reported_when_it_is_committed():
    report, reported = make_report()
    report.on_epoch_end(0, {"val_mae": 0.5})
    assert reported() == {}
    report.commit()
    assert reported() == {1: 0.5}


@pytest.mark.parametrize(
    ("last_epoch", "num_steps", "expected"),
    [(10, 10, {10: 0.5, 11: 0.5}), (8, 50, {8: 0.5, 50: 0.4, 51: 0.5})],
)
def test_the_second_fit_is_reported_as_a_mean_after_all_steps_of_the_first(
    last_epoch, num_steps, expected
):
    report, reported = make_report(num_fits=2, num_steps=num_steps)
    end_epoch(report, last_epoch, 0.5)
    report.finish_fit(0.4)
    end_epoch(report, 1, 0.6)
    assert reported() == pytest.approx(expected)


@pytest.mark.parametrize("pruner", [HyperbandPruner, SuccessiveHalvingPruner])
@pytest.mark.parametrize("num_epochs", [8, 50])
def test_better_trials_with_fewer_epochs_are_not_pruned(pruner, num_epochs):
    limits = {"max_resource": 250} if pruner is HyperbandPruner else {}
    study = optuna.create_study(pruner=pruner(min_resource=1, reduction_factor=3, **limits))
    states = {True: [], False: []}
    for number in range(40):
        is_better = number % 4 == 0
        report, _ = make_report(study=study, num_epochs=50, num_steps=50, num_fits=5)
        states[is_better].append(run_fits(study, number, report, is_better, num_epochs))
    assert states[True].count("complete") >= 9
    assert states[False].count("pruned") > 5


def run_fits(study, number, report, is_better, num_epochs):
    best, excess = (0.1, 0.2) if is_better else (0.3, 0.4)
    try:
        for _ in range(5):
            for epoch in range(1, 1 + (num_epochs if is_better else 50)):
                value = best + excess / epoch
                end_epoch(report, epoch, value)
            report.finish_fit(value)
    except PrunedError:
        study.tell(number, state=TrialState.PRUNED)
        return "pruned"
    study.tell(number, value)
    return "complete"


@pytest.mark.parametrize(("epoch", "num_fits"), [(4, 1), (10, 2)])
def test_a_trial_is_pruned_with_epoch_and_value(epoch, num_fits):
    report, _ = make_report(AlwaysPrune(), num_fits=num_fits)
    with pytest.raises(PrunedError, match=rf"at epoch {epoch} with val_mae 0\.5000"):
        end_epoch(report, epoch, 0.5)


def test_a_trial_is_pruned_between_its_fits_but_not_after_the_last():
    report, _ = make_report(AlwaysPrune(), num_fits=2, num_steps=50)
    report.on_epoch_end(7, {"val_mae": 0.5})
    with pytest.raises(PrunedError, match=r"after 1 of 2 fits with val_mae 0\.4000"):
        report.finish_fit(0.4)
    report.finish_fit(0.4)


@pytest.mark.parametrize(
    ("settings", "epoch", "expected"),
    [
        ({"is_default": True}, 1, {1: 0.5}),
        ({}, 10, {10: 0.5}),
        ({"is_reported": False}, 1, {}),
    ],
    ids=["default configuration", "last epoch", "two objectives"],
)
def test_default_last_epoch_and_two_objectives_are_never_pruned(settings, epoch, expected):
    report, reported = make_report(AlwaysPrune(), **settings)
    end_epoch(report, epoch, 0.5)
    assert reported() == expected


def run_trial(spec):
    study = create_study(spec)
    outcome = Worker(spec, TrialObjective(spec)).run(0)
    return study.get_trials()[outcome.trial]


def test_the_search_metric_selects_the_best_epoch_of_a_trial(make_spec):
    spec = make_spec(search__metric="ccc", training__monitor="mae", tracking__registered_model="m")
    config = trial_config(spec, {"model.fusion_dim": 16})
    assert config.training.monitor == "ccc"
    assert config.model.fusion_dim == 16
    assert not config.tracking.package_model
    assert config.tracking.registered_model == ""


@pytest.mark.slow
def test_the_objective_is_the_best_value_of_a_fit_without_test_clips(spec):
    trial = run_trial(spec)
    summary = json.loads(spec.trial_run(0).summary_path.read_text())
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [summary["best_value"]]
    assert trial.user_attrs["best_epochs"] == [summary["best_epoch"]]
    assert list(trial.intermediate_values) == [1, 2]
    assert min(trial.intermediate_values.values()) == pytest.approx(trial.values[0])
    assert summary["num_clips"]["test"] == 0
    assert sum(summary["num_clips"].values()) < 60


@pytest.mark.slow
def test_the_objective_of_several_fits_is_their_mean(make_spec):
    spec = make_spec(search__num_folds=2)
    trial = run_trial(spec)
    run = spec.trial_run(0)
    fits = [
        json.loads((path / "summary.json").read_text()) for path in sorted(run.folds_dir.iterdir())
    ]
    assert len(fits) == 2
    assert trial.values[0] == pytest.approx(sum(fit["best_value"] for fit in fits) / 2)
    assert trial.user_attrs["best_epochs"] == [fit["best_epoch"] for fit in fits]
    assert read_last_status(run) == "FINISHED"


@pytest.mark.slow
def test_a_diverging_trial_fails_with_its_reason(make_spec):
    spec = make_spec(training__learning_rate=1e30, training__gradient_clip_norm=0)
    trial = run_trial(spec)
    assert trial.state == TrialState.FAIL
    assert "nan in epoch 1" in trial.user_attrs["reason"]
    assert read_last_status(spec.trial_run(0)) == "FAILED"


@pytest.mark.slow
@pytest.mark.parametrize("second", ["weights", "latency_ms"])
def test_the_second_objective_is_the_cost_of_the_model(make_spec, second):
    spec = make_spec(search__second_objective=second, training__num_epochs=1)
    trial = run_trial(spec)
    assert trial.intermediate_values == {}
    cost = trial.values[1]
    if second == "weights":
        config = trial_config(spec, trial.user_attrs["overrides"])
        network = build_for(config, open_features(config.data))
        assert cost == count_weights(network).total
    else:
        assert 0 < cost < math.inf
