import pytest

from pipeline.tracking.metric_names import mlflow_name, split_of_model_score


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("evaluation/validation/r2/mean", "eval/val/r2"),
        ("evaluation/test/accuracy/mean", "eval/test/accuracy"),
        ("evaluation/all/ccc/mean", "more/all/ccc"),
        ("evaluation/validation/interval_coverage/mean", "more/val/interval_coverage"),
        ("evaluation/validation/ccc/openness", "per_trait/val/ccc/openness"),
        ("evaluation/test/mae_original/warmth", "per_trait/test/mae_original/warmth"),
        ("evaluation/validation/mse/openness", None),
        ("reference/test/r2/ridge", "eval/test/r2_ridge"),
        ("reference/validation/ccc/ridge", "more/val/ccc_ridge"),
        ("reference/validation/r2/training_mean", "reference/val/r2/training_mean"),
        ("reference/validation/mse/ridge", None),
        ("train/loss", "loss/train"),
        ("validation/loss", "loss/val"),
        ("train/mae/mean", "per_epoch/mae/train"),
        ("validation/mae/openness", None),
        ("time/step_ms_median", "speed/step_ms_median"),
        ("time/validation_seconds", None),
        ("batch/loss", "step/loss"),
        ("system/cpu_percent", "usage/cpu_percent"),
        ("search/best_mae", "search/best_mae"),
    ],
)
def test_metrics_have_names_that_sort_by_importance(name, expected):
    assert mlflow_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("eval/val/r2", "validation"),
        ("more/test/mae", "test"),
        ("per_trait/val/ccc/openness", "validation"),
        ("eval/val/r2_ridge", None),
        ("more/val/ccc_ridge", None),
        ("reference/val/r2/training_mean", None),
        ("per_epoch/r2/val", None),
        ("usage/cpu_percent", None),
    ],
)
def test_scores_of_baselines_and_epochs_are_no_scores_of_the_saved_model(name, expected):
    assert split_of_model_score(name) == expected
