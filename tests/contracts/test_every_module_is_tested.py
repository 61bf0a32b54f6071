"""Tests mirror the package: a module without a test module is listed here, with a reason."""

import pytest

NO_TEST_MODULE = {
    "__main__": "one call; run by every test of tests/end_to_end",
    "cli": "tests/contracts/test_entry_points.py and tests/end_to_end/test_refusals.py",
    "commands/arguments": "wiring; tests/contracts/test_entry_points.py and tests/end_to_end",
    "commands/demo": "two paths; tests/end_to_end/test_demo.py and tests/search/test_space_file.py",
    "commands/evaluate": "wiring; run as a user does by tests/end_to_end",
    "commands/extract": "wiring; tests/end_to_end/test_extract.py",
    "commands/main_job": "wiring; run as a user does by tests/end_to_end",
    "commands/predict": "wiring; run as a user does by tests/end_to_end/test_predict.py",
    "commands/prepare": "wiring; run as a user does by tests/end_to_end",
    "commands/search": "wiring; tests/end_to_end/test_search.py",
    "commands/sync": "wiring; run as a user does by tests/end_to_end",
    "commands/train": "wiring; run as a user does by tests/end_to_end",
    "commands/verify": "wiring; tests/end_to_end/test_verify.py",
    "commands/visualize": "wiring; tests/end_to_end/test_visualize.py",
    "core/arrays": "names of types",
    "core/errors": "names of errors and numbers",
    "data/hold_out": "the drawing behind splits: tests/data/test_splits.py",
    "models/shapes": "names of types",
    "records/data_description": "tests/workflows and tests/report/test_loading.py",
    "records/environment": "tests/report/test_loading.py and tests/workflows/test_environment.py",
    "records/summary": "tests/report/test_loading.py",
    "records/typed_json": "tests/records/test_time_logs.py and test_metrics_history.py",
    "search/conclusion": "tests/end_to_end/test_search.py",
    "search/latency": "tests/search/test_trial.py",
    "search/run": "tests/end_to_end/test_search.py",
    "search/trial_directory": "tests/search/test_trial.py and test_export.py",
    "tracking/artifacts": "tests/end_to_end/test_visualize.py fetches from a store",
    "workers/names": "tests/search/test_coordinator.py and test_worker.py",
    "workers/process_pool": "tests/workers/test_pool.py",
    "workflows/illustration": "tests/end_to_end/test_visualize.py",
    "workflows/prediction_run": "tests/end_to_end/test_predict.py",
    "workflows/single_run": "tests/end_to_end/test_train.py",
    "workflows/verification": "tests/end_to_end/test_verify.py",
}

TESTED_AS_A_PACKAGE = ("figures",)
"""Packages whose modules share test modules by topic."""


@pytest.fixture(scope="module")
def untested(repository):
    modules = {
        path.relative_to(repository / "pipeline").with_suffix("")
        for path in (repository / "pipeline").rglob("*.py")
        if path.name != "__init__.py" and not set(path.parts) & set(TESTED_AS_A_PACKAGE)
    }
    return {
        module.as_posix()
        for module in modules
        if not (repository / "tests" / module.parent / f"test_{module.name}.py").exists()
    }


def test_every_module_has_a_test_module_or_a_reason(untested):
    assert untested - NO_TEST_MODULE.keys() == set()


def test_no_reason_is_out_of_date(untested):
    assert NO_TEST_MODULE.keys() - untested == set()
