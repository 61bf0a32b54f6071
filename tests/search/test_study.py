"""A study is continued with what it was made for, and with nothing else."""

import dataclasses

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.core.errors import SearchError
from pipeline.search.study.retries import IS_DEFAULT
from pipeline.search.study.study import is_home, open_study, place_of


def test_the_configuration_as_it_is_comes_first(make_job):
    study = open_study(make_job(), features_digest="1")
    (trial,) = study.get_trials()
    assert trial.state == TrialState.WAITING
    assert trial.user_attrs[IS_DEFAULT] is True
    assert trial.system_attrs["fixed_params"] == {
        "model.fusion_dim": 8,
        "model.dropout_rate": 0.3,
    }


@pytest.mark.parametrize("overrides", [{"search__try_default": False}, {"model__fusion_dim": 32}])
def test_a_default_that_is_not_wanted_or_not_in_the_space_is_not_tried(make_job, overrides):
    assert open_study(make_job(**overrides), features_digest="1").get_trials() == []


def test_the_same_study_is_continued(make_job):
    first = open_study(make_job(), features_digest="1")
    again = open_study(make_job(), features_digest="1")
    assert again._study_id == first._study_id
    assert len(again.get_trials()) == 1


def test_what_does_not_change_a_score_may_differ(make_job):
    open_study(make_job(), features_digest="1")
    open_study(make_job(search__max_retries=3, description="x"), features_digest="1")


def test_another_space_is_refused_with_the_difference(make_job):
    open_study(make_job(), features_digest="1")
    other = {"fusion_dim": [8, 32], "num_blocks": [1, 2]}
    with pytest.raises(SearchError) as refusal:
        open_study(make_job(parameters=other), features_digest="1")
    message = str(refusal.value)
    assert "model.dropout_rate is not searched any more" in message
    assert "model.fusion_dim was (choices [8, 16]), now (choices [8, 32])" in message
    assert "model.num_blocks was not searched" in message
    assert "Give another --study" in message


def test_other_settings_are_refused_with_the_difference(make_job):
    open_study(make_job(), features_digest="1")
    with pytest.raises(SearchError, match=r"training.num_epochs: 2, now 3\. Give"):
        open_study(make_job(training__num_epochs=3), features_digest="1")


def test_other_features_are_refused(make_job):
    open_study(make_job(), features_digest="1")
    with pytest.raises(SearchError, match="features: '1', now '2'"):
        open_study(make_job(), features_digest="2")


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")
def test_a_study_of_another_program_is_refused(make_job):
    job = make_job()
    foreign = optuna.create_study(study_name=job.study_name, storage=job.open_storage())
    foreign.tell(foreign.ask(), 0.5)
    with pytest.raises(SearchError, match="another program has made it"):
        open_study(job, features_digest="1")


def test_a_study_that_a_kill_left_half_made_is_finished(make_job):
    job = make_job()
    optuna.create_study(study_name=job.study_name, storage=job.open_storage())
    assert len(open_study(job, features_digest="1").get_trials()) == 1


def test_the_study_is_at_home_where_it_was_made(make_job, tmp_path):
    job = make_job()
    study = open_study(job, features_digest="1")
    assert is_home(job, study)
    assert not is_home(dataclasses.replace(job, study_dir=tmp_path / "elsewhere"), study)


def test_a_directory_that_has_moved_is_still_the_home_of_its_study(make_job, tmp_path):
    job = make_job(storage_url=f"sqlite:///{tmp_path / 'study.db'}")
    study = open_study(job, features_digest="1")
    moved = job.study_dir.rename(tmp_path / "moved")
    assert is_home(dataclasses.replace(job, study_dir=moved), study)
    assert place_of(study).startswith(f"{job.study_dir} on ")


def test_a_study_is_not_made_over_the_trials_of_another(make_job):
    job = make_job()
    (job.run.trials_dir / "trial-0000").mkdir(parents=True)
    with pytest.raises(SearchError, match=r"holds trials of another study than .*--run_dir"):
        open_study(job, features_digest="1")
    assert optuna.get_all_study_names(job.open_storage()) == []


def test_a_study_that_is_there_goes_on_where_its_trials_are(make_job):
    job = make_job()
    open_study(job, features_digest="1")
    (job.run.trials_dir / "trial-0000").mkdir(parents=True)
    assert open_study(job, features_digest="1").study_name == job.study_name
