"""`pipeline.search(...)` gives its arguments to `run_search`, and returns a readable result."""

from types import SimpleNamespace

import pytest

import pipeline
from pipeline.config.loading import write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import ConfigError, SearchError
from pipeline.core.run_directory import RunDirectory
from pipeline.records.evaluation import read_report
from pipeline.search import interface


@pytest.fixture
def searched(repository, tmp_path, monkeypatch):
    """Replace the search by a finished study. Return the list of received arguments."""
    golden = repository / "tests" / "golden" / "run_of_an_earlier_version" / "finished"
    study = RunDirectory(tmp_path / "study")
    study.search_dir.mkdir(parents=True)
    write_config(study.search_dir / "best.yaml", ExperimentConfig(name="better"))
    (study.search_dir / "trials.csv").write_text("trial,state,ccc\n0,COMPLETE,0.5\n1,PRUNED,\n")
    conclusion = SimpleNamespace(
        run=RunDirectory(golden),
        decision="USE trial-0000. It is better.",
        report=read_report(golden / "evaluation.json"),
    )
    outcome = SimpleNamespace(
        run=study,
        study_name="mine",
        status=SimpleNamespace(num_complete=1, num_pruned=1, num_failed=0),
        conclusion=conclusion,
        undelivered=None,
        main_process="elsewhere",
    )
    received = []

    def run_search(*arguments, **_):
        received.append(arguments)
        return outcome

    monkeypatch.setattr(interface, "run_search", run_search)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return outcome, received


def test_the_package_is_the_function(searched):
    _, received = searched
    pipeline.search({"seed": 5}, "space.yaml", num_trials=2, settings={"model.num_heads": 2})
    ((config, space, options),) = received
    assert (config.seed, config.model.num_heads, space.name) == (5, 2, "space.yaml")
    assert (options.num_trials, options.timeout_minutes) == (2, None)


def test_the_result_has_trials_the_best_settings_and_a_run(searched):
    result = pipeline.search(None, "space.yaml", num_trials=2)
    assert result.trials["state"].tolist() == ["COMPLETE", "PRUNED"]
    assert result.config.name == "better"
    assert result.run.name == "finished"
    assert "1 trials complete, 1 pruned" in repr(result)
    assert "USE trial-0000. It is better." in repr(result)


def test_a_helper_process_has_no_result(searched):
    outcome, _ = searched
    outcome.conclusion = None
    with pytest.raises(SearchError, match="elsewhere"):
        pipeline.search(None, "space.yaml", num_trials=2)


def test_a_search_needs_an_end(searched):
    with pytest.raises(ConfigError, match="num_trials or timeout_minutes"):
        pipeline.search(None, "space.yaml")
