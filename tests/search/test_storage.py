"""Open a storage, and create or continue a study in it."""

import dataclasses
import importlib.util
import threading
import time

import optuna
import pytest
from optuna.trial import TrialState

from pipeline.core.errors import SearchError
from pipeline.core.urls import sqlite_url
from pipeline.search.study.retries import IS_DEFAULT
from pipeline.search.study.storage import (
    creation_lock,
    is_main_process,
    main_process_place,
    open_storage,
    open_study,
)
from tests.search.conftest import create_study


@pytest.fixture
def open_url(spec):
    return lambda url: open_storage(dataclasses.replace(spec, storage_url=url))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not a database URL. Give sqlite:///FILE"),
        ("sqlite://", "cannot share a database in memory"),
        ("sqlite:///:memory:", "cannot share a database in memory"),
        ("mysql://user:secret@host/x", "mysql is not supported"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", "cannot be opened"),
        ("postgresql+psycopg://u:secret@host:port/x", "is not a database URL"),
        ("postgresql+psycopg://127.0.0.1:1/x?user=u&password=secret", "cannot be opened"),
        ("://u:secret@host", "is not a database URL"),
    ],
)
def test_an_invalid_url_is_an_error_without_the_password(open_url, url, message):
    with pytest.raises(SearchError) as error:
        open_url(url)
    assert message in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_driver_is_an_error_with_the_fix(open_url, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SearchError, match=r"needs psycopg.*pip install -e .\.\[postgres\]"):
        open_url("postgresql+psycopg://u@host/x")


def test_a_file_that_is_not_a_database_is_an_error(open_url, tmp_path):
    path = tmp_path / "study.db"
    path.write_text("this text is longer than the header of a database. " * 9)
    with pytest.raises(SearchError, match="cannot be opened"):
        open_url(sqlite_url(path))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_lock_excludes_only_its_own_name(database, request, tmp_path):
    url = sqlite_url(tmp_path / "x.db")
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    order = []

    def second():
        with creation_lock(url, "study"):
            order.append("second")

    with creation_lock(url, "study"):
        thread = threading.Thread(target=second)
        thread.start()
        with creation_lock(url, "tables"):
            time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_the_default_configuration_is_the_first_trial(spec):
    (trial,) = open_study(spec, features_hash="1").get_trials()
    assert trial.state == TrialState.WAITING
    assert trial.user_attrs[IS_DEFAULT] is True
    assert trial.system_attrs["fixed_params"] == {"model.fusion_dim": 8, "model.dropout_rate": 0.3}


@pytest.mark.parametrize("overrides", [{"search__try_default": False}, {"model__fusion_dim": 32}])
def test_a_default_outside_the_space_or_switched_off_is_not_a_trial(make_spec, overrides):
    assert open_study(make_spec(**overrides), features_hash="1").get_trials() == []


@pytest.mark.parametrize("changes", [{}, {"search__max_retries": 3, "description": "x"}])
def test_an_existing_study_is_continued_with_its_trials(make_spec, changes):
    spec = make_spec()
    first = open_study(spec, features_hash="1")
    spec.trial_run(0).path.mkdir(parents=True)
    again = open_study(make_spec(**changes), features_hash="1")
    assert again._study_id == first._study_id
    assert len(again.get_trials()) == 1


@pytest.mark.parametrize(
    ("changes", "features_hash", "messages"),
    [
        (
            {"parameters": {"fusion_dim": [8, 32], "num_blocks": [1, 2]}},
            "1",
            (
                "model.dropout_rate is no longer searched",
                "model.fusion_dim was (choices [8, 16]), now (choices [8, 32])",
                "model.num_blocks was not searched",
            ),
        ),
        ({"training__num_epochs": 3}, "1", ("training.num_epochs: 2, now 3",)),
        ({}, "2", ("features: '1', now '2'",)),
    ],
)
def test_another_space_setting_or_feature_set_is_an_error(
    make_spec, changes, features_hash, messages
):
    open_study(make_spec(), features_hash="1")
    with pytest.raises(SearchError) as error:
        open_study(make_spec(**changes), features_hash=features_hash)
    for message in (*messages, "Give another --study"):
        assert message in str(error.value)


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed:UserWarning")
def test_a_study_of_another_program_is_an_error(spec, study):
    study.tell(study.ask(), 0.5)
    with pytest.raises(SearchError, match="another program"):
        open_study(spec, features_hash="1")


def test_an_interrupted_creation_is_finished(spec):
    create_study(spec)
    assert len(open_study(spec, features_hash="1").get_trials()) == 1


def test_a_study_does_not_overwrite_the_trials_of_another_study(spec):
    spec.trial_run(0).path.mkdir(parents=True)
    with pytest.raises(SearchError, match=r"trials of another study.*--run_dir"):
        open_study(spec, features_hash="1")
    assert optuna.get_all_study_names(open_storage(spec)) == []


def test_the_main_process_has_the_directory_that_created_the_study_also_if_it_is_moved(
    make_spec, tmp_path
):
    spec = make_spec(storage_url=f"sqlite:///{tmp_path / 'study.db'}")
    study = open_study(spec, features_hash="1")
    assert main_process_place(study).startswith(f"{spec.study_dir} on ")
    assert not is_main_process(dataclasses.replace(spec, study_dir=tmp_path / "elsewhere"), study)
    moved = spec.study_dir.rename(tmp_path / "moved")
    assert is_main_process(dataclasses.replace(spec, study_dir=moved), study)
