"""Register a trained model again; tests/end_to_end has the rest of the conclusion."""

import pytest

from pipeline.config.loading import load_config, write_config
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_events
from pipeline.search.conclude import register_model


def config(alias):
    return load_config(None, {"tracking.registered_model": "ocean", "tracking.alias": alias})


@pytest.mark.parametrize(("alias", "num_events"), [("champion", 1), ("best", 0)])
def test_a_model_is_registered_again_only_for_a_new_alias(tmp_path, alias, num_events):
    run = RunDirectory(tmp_path)
    write_config(run.config_path, config("best"))
    RunLog(run.run_log_path).log_status("FINISHED")

    for _ in range(2):
        register_model(run, config(alias))

    events = [event.content for event in read_events(run.run_log_path) if event.kind == "model"]
    assert events == [{"registered_model": "ocean", "alias": alias}] * num_events
