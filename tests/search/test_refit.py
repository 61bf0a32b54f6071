"""What a later call wants of a model that is trained already; tests/end_to_end has the rest."""

import pytest

from pipeline.config.loading import load_config, write_config
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_events
from pipeline.search.refit import _register_as


@pytest.fixture
def trained(tmp_path):
    """A run that was registered under one alias, without MLflow."""
    run = RunDirectory(tmp_path)
    write_config(run.config_path, wanted("best"))
    RunLog(run.run_log_path).log_status("FINISHED")
    return run


def wanted(alias):
    return load_config(None, {"tracking.registered_model": "ocean", "tracking.alias": alias})


def told(run):
    return [event.content for event in read_events(run.run_log_path) if event.kind == "model"]


def test_another_alias_is_told_and_remembered(trained):
    for _ in range(2):
        _register_as(trained, wanted("champion"))
    assert told(trained) == [{"registered_model": "ocean", "alias": "champion"}]


def test_what_is_as_it_is_wanted_is_left_alone(trained):
    _register_as(trained, wanted("best"))
    assert told(trained) == []
