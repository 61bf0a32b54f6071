"""The recommendation of a search; tests/end_to_end has the rest of the conclusion."""

import numpy as np
import optuna
import pytest

from pipeline.config.loading import load_config, write_config
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_events
from pipeline.data.splits import Split
from pipeline.evaluation.report import build_report
from pipeline.records.evaluation import write_report
from pipeline.records.predictions import Predictions, write_predictions
from pipeline.search import conclude
from pipeline.search.study.retries import IS_DEFAULT

TRUTH = np.random.default_rng(0).uniform(0.2, 0.8, (40, 5))
SPLIT = Split(train=np.arange(0), validation=np.arange(0), test=np.arange(40))
NOISE = np.random.default_rng(1).normal(0, 0.1, (40, 5))


def predictions(noise_scale):
    return Predictions(
        clip_ids=[f"c{row}" for row in range(40)],
        groups=[f"g{row // 2}" for row in range(40)],
        y_pred=TRUTH + noise_scale * NOISE,
        y_true=TRUTH,
    )


@pytest.fixture
def conclude_with(make_spec, monkeypatch):
    """Return a function that concludes a search, without training.

    The models have the given errors on the test clips. The best trial has dropout rate 0.2.
    """

    def run(*, default, best=None, **overrides):
        settings = {"search__metric": "mae", "search__refit": "train", "model__dropout_rate": 0.4}
        spec = make_spec(**settings, **overrides)
        errors = {"default": default, "trial-0003": best}

        def evaluate(path, _, *, split):
            run, found = RunDirectory(path), predictions(errors[path.name.rpartition("-")[0]])
            write_config(run.config_path, spec.config)
            write_predictions(run.predictions_path(split), found)
            report = build_report(found, {}, split=split, num_resamples=2, seed=0)
            write_report(run.evaluation_path, report)

        monkeypatch.setattr(conclude, "train_nested", lambda *_, **__: None)
        monkeypatch.setattr(conclude, "select_used_streams", lambda *_: None)
        monkeypatch.setattr(conclude, "evaluate_run", evaluate)
        monkeypatch.setattr(conclude, "draw_comparison", lambda *_, **__: None)
        attributes = {"overrides": {"model.dropout_rate": 0.2}, "best_epochs": [1]}
        if best is None:
            attributes[IS_DEFAULT] = True
        trial = optuna.create_trial(value=0.1, user_attrs=attributes)
        trial.number = 3
        return spec, conclude.conclude_search(spec, trial, [trial], None, SPLIT)

    return run


def dropout_rate(spec, name):
    return load_config(spec.run.search_dir / name).model.dropout_rate


def registered(run):
    events = [event.content for event in read_events(run.run_log_path) if event.kind == "model"]
    return [(event["registered_model"], event["alias"]) for event in events]


def test_a_better_trial_is_recommended(conclude_with):
    spec, conclusion = conclude_with(default=1.0, best=0.5)
    assert conclusion.recommended == "trial-0003"
    assert conclusion.run.path.name.rpartition("-")[0] == "trial-0003"
    assert conclusion.decision.startswith("USE trial-0003. On 40 test clips")
    assert "trial-0003 is better than default in mae" in conclusion.decision
    assert dropout_rate(spec, "best.yaml") == dropout_rate(spec, "best_trial.yaml") == 0.2


@pytest.mark.parametrize(
    ("best", "reason"),
    [(1.5, "default is better than trial-0003 in mae"), (1.0, "No difference in mae is shown")],
)
def test_the_default_is_kept_unless_the_best_trial_is_better(conclude_with, best, reason):
    spec, conclusion = conclude_with(default=1.0, best=best)
    assert conclusion.recommended == "default"
    assert conclusion.run.path.name.rpartition("-")[0] == "default"
    assert conclusion.decision.startswith("KEEP THE DEFAULT. On 40 test clips")
    assert reason in conclusion.decision
    assert dropout_rate(spec, "best.yaml") == 0.4
    assert dropout_rate(spec, "best_trial.yaml") == 0.2


def test_the_default_is_kept_if_it_is_the_best_trial(conclude_with):
    spec, conclusion = conclude_with(default=1.0)
    assert conclusion.comparison is None
    assert conclusion.decision.startswith(
        "KEEP THE DEFAULT: no trial has a better validation score. The recommended model: "
    )
    assert conclusion.decision.endswith("Not compared with any baseline.")
    assert dropout_rate(spec, "best.yaml") == 0.4
    assert not (spec.run.search_dir / "best_trial.yaml").exists()


@pytest.mark.parametrize(
    ("tracking", "expected"),
    [
        ({}, []),
        ({"tracking__registered_model": "ocean"}, [("ocean", "best")]),
        (
            {"tracking__registered_model": "ocean", "tracking__alias": "champion"},
            [("ocean", "champion")],
        ),
        ({"tracking__registered_model": "ocean", "tracking__package_model": False}, []),
    ],
)
def test_the_recommended_model_is_registered_only_on_request(conclude_with, tracking, expected):
    _, conclusion = conclude_with(default=1.0, best=1.5, **tracking)
    assert registered(conclusion.run) == expected
