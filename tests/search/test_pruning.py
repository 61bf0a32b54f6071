"""Epochs are reported as they are committed; the default configuration is never stopped."""

import optuna
import pytest
from optuna.pruners import SuccessiveHalvingPruner

from pipeline.core.errors import PrunedError
from pipeline.search.study.pruning import EpochReport
from pipeline.search.study.retries import IS_DEFAULT


class Always(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True


def make(pruner=None, *, is_reported=True, num_parts=1, num_steps=10, **attributes):
    study = optuna.create_study(pruner=pruner or optuna.pruners.NopPruner())
    trial = study.ask()
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    report = EpochReport(
        trial,
        monitor="val_mae",
        num_epochs=10,
        num_steps=num_steps,
        num_parts=num_parts,
        is_reported=is_reported,
    )
    return study, report


def told(study):
    return study.get_trials()[0].intermediate_values


def test_an_epoch_is_reported_when_it_is_committed():
    study, report = make()
    report.on_epoch_end(0, {"val_mae": 0.5, "loss": 9.0})
    assert told(study) == {}
    report.commit()
    assert told(study) == {1: 0.5}


def test_a_second_fit_is_reported_as_the_mean_after_the_epochs_of_the_first():
    study, report = make(num_parts=2)
    report.on_epoch_end(9, {"val_mae": 0.5})
    report.commit()
    report.finish_part(0.4)
    report.on_epoch_end(0, {"val_mae": 0.6})
    report.commit()
    assert told(study) == {10: 0.5, 11: pytest.approx(0.5)}


def test_a_fit_that_ends_early_keeps_its_best_for_the_epochs_that_others_have():
    study, report = make(num_parts=2, num_steps=50)
    report.on_epoch_end(7, {"val_mae": 0.5})
    report.commit()
    report.finish_part(0.4)
    report.on_epoch_end(0, {"val_mae": 0.6})
    report.commit()
    assert told(study) == {8: 0.5, 50: 0.4, 51: pytest.approx(0.5)}


@pytest.mark.parametrize("pruner", [optuna.pruners.HyperbandPruner, SuccessiveHalvingPruner])
@pytest.mark.parametrize("num_epochs", [8, 50])
def test_better_trials_that_stop_early_are_not_those_that_are_pruned(pruner, num_epochs):
    # Of every ten, one that is better at every epoch; it ends early, or has few epochs.
    ends = {"max_resource": 250} if pruner is optuna.pruners.HyperbandPruner else {}
    study = optuna.create_study(pruner=pruner(min_resource=1, reduction_factor=3, **ends))
    states = {True: [], False: []}
    for number in range(40):
        is_better = number % 4 == 0
        trial = study.ask()
        report = EpochReport(
            trial,
            monitor="val_mae",
            num_epochs=50,
            num_steps=50,
            num_parts=5,
            is_reported=True,
        )
        states[is_better].append(run(study, trial, report, is_better, num_epochs))
    assert states[True].count("complete") >= 9
    assert states[False].count("pruned") > 5


def run(study, trial, report, is_better, num_epochs):
    best = 0.1 if is_better else 0.3
    try:
        for _ in range(5):
            for epoch in range(num_epochs if is_better else 50):
                value = best + (0.2 if is_better else 0.4) / (epoch + 1)
                report.on_epoch_end(epoch, {"val_mae": value})
                report.commit()
            report.finish_part(value)
    except PrunedError:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return "pruned"
    study.tell(trial, value)
    return "complete"


def test_a_trial_may_be_stopped_between_its_fits_and_not_after_the_last():
    _, report = make(Always(), num_parts=2, num_steps=50)
    report._newest = (8, 0.5)
    with pytest.raises(PrunedError, match=r"stopped after 1 fits of 2 with val_mae 0\.4000"):
        report.finish_part(0.4)
    report.finish_part(0.4)


def test_a_trial_that_lags_behind_is_stopped_with_its_epoch():
    _, report = make(Always())
    report.on_epoch_end(3, {"val_mae": 0.5})
    with pytest.raises(PrunedError, match=r"stopped at epoch 4 with val_mae 0\.5000"):
        report.commit()


def test_the_default_configuration_is_never_stopped():
    study, report = make(Always(), **{IS_DEFAULT: True})
    report.on_epoch_end(0, {"val_mae": 0.5})
    report.commit()
    assert told(study) == {1: 0.5}


def test_a_trial_is_not_stopped_at_its_last_epoch():
    study, report = make(Always())
    report.on_epoch_end(9, {"val_mae": 0.5})
    report.commit()
    assert told(study) == {10: 0.5}


def test_the_last_epoch_of_a_fit_is_not_the_last_of_a_trial_with_more_fits():
    _, report = make(Always(), num_parts=2)
    report.on_epoch_end(9, {"val_mae": 0.5})
    with pytest.raises(PrunedError):
        report.commit()


def test_two_objectives_are_not_reported():
    study, report = make(Always(), is_reported=False)
    report.on_epoch_end(0, {"val_mae": 0.5})
    report.commit()
    assert told(study) == {}
