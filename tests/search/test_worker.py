"""A worker runs one trial per slot."""

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.search.study.storage import STORAGE_ERRORS
from pipeline.search.worker import Worker
from pipeline.workers.names import worker_name
from tests.search.conftest import create_study


def objective(spec):
    return lambda trial: spec.space.propose(trial)["model.dropout_rate"]


def test_a_trial_has_the_name_of_its_worker(spec, study):
    outcome = Worker(spec, objective(spec)).run(0)
    (trial,) = study.get_trials()
    assert outcome.trial == trial.number == 0
    assert trial.state == TrialState.COMPLETE
    assert trial.user_attrs["worker"] == worker_name()


@pytest.mark.parametrize("calls", [[range(14)], [range(6), range(6, 14)]], ids=["same", "resumed"])
def test_the_same_or_a_resumed_search_has_the_same_proposals(make_spec, tmp_path, calls):
    def proposals(name, calls):
        spec = make_spec(storage_url=f"sqlite:///{tmp_path / name}.db")
        study = create_study(spec)
        for slots in calls:
            worker = Worker(spec, objective(spec))
            for number in slots:
                worker.run(number)
        return [trial.params for trial in study.get_trials()]

    assert proposals("first", [range(14)]) == proposals("second", calls)


def test_an_unreachable_storage_is_reported(spec, study, monkeypatch):
    worker = Worker(spec, objective(spec))

    def fail(*_, **__):
        raise STORAGE_ERRORS[0]("the database is gone")

    monkeypatch.setattr(optuna.Study, "optimize", fail)
    outcome = worker.run(0)
    assert outcome.trial is None
    assert outcome.reason == "StorageInternalError: the database is gone"
