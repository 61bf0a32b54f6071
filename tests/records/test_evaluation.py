import json

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.traits import TRAITS, TraitLabel
from pipeline.evaluation.intervals.conformal import calibrate, measure_coverage
from pipeline.evaluation.report import build_report
from pipeline.records.evaluation import Interval, read_report, write_report
from pipeline.records.predictions import Predictions

LIKERT = [TraitLabel(name=name, label_range=(1.0, 7.0)) for name in TRAITS]


def make_report(num_clips=40, **options):
    numbers = np.random.default_rng(0)
    predictions = Predictions(
        clip_ids=[f"c{row}" for row in range(num_clips)],
        groups=[f"g{row // 2}" for row in range(num_clips)],
        y_pred=numbers.random((num_clips, 5)),
        y_true=numbers.random((num_clips, 5)),
    )
    calibration = calibrate(
        predictions.y_true, predictions.y_pred, predictions.groups, trait_names=TRAITS
    )
    return build_report(
        predictions,
        {"ridge": np.full((num_clips, 5), 0.5)},
        split="test",
        intervals=measure_coverage(calibration, predictions, num_resamples=20, seed=0),
        num_resamples=20,
        seed=0,
        **options,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evaluation.json"


def test_a_written_report_reads_back_the_same(path):
    report = make_report(
        by={"gender": ["a", "b"] * 20},
        group_overlap={"train/evaluated": {"shared_groups": 3, "shared_clips": 0.5}},
        traits=LIKERT,
    )
    write_report(path, report)
    assert report.intervals is not None
    assert report.original_units is not None
    assert read_report(path) == report


def test_a_missing_interval_has_null_ends(path):
    write_report(path, make_report(2))
    mae = json.loads(path.read_text())["metrics"]["mae"]["mean"]
    assert (mae["low"], mae["high"]) == (None, None)
    assert not read_report(path).metrics["mae"]["mean"].exists


def rename_a_trait(content):
    for scores in content["metrics"].values():
        first = scores.pop("openness")
        rest = dict(scores)
        scores.clear()
        scores.update({"honesty": first, **rest})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["metrics"]["mae"].pop("openness"), "has no mae for openness"),
        (lambda content: content["by"]["g"]["a"]["metrics"].pop("r2"), "has no r2 for mean"),
        (lambda content: content.pop("split"), "split: field required"),
        (lambda content: content.update(baseline_differences={"ridge": 3}), "differences.ridge"),
        (lambda content: content.update(baseline_differences={}), "no difference to .* ridge"),
        (lambda content: content.update(group_overlap={"a/b": {}}), "has no shared_groups"),
        (lambda content: content["intervals"]["coverage"].clear(), "has no coverage or width"),
        (lambda content: content["original_units"]["rmse"].pop("openness"), "RMSE for openness"),
        (rename_a_trait, "baselines.* must have the traits honesty, .*but has "),
        (lambda content: content.clear(), "split: field required"),
    ],
)
def test_a_damaged_report_is_an_error_with_its_place(path, change, message):
    write_report(path, make_report(by={"g": ["a", "b"] * 20}, traits=LIKERT))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(PipelineError, match=rf"evaluation\.json: cannot be used .*{message}"):
        read_report(path)


def test_a_missing_interval_shows_no_difference():
    nothing = Interval(0.5)
    assert nothing.overlaps(Interval(0.1, 0.0, 0.2))
    assert not nothing.excludes_zero


def test_intervals_are_compared_by_their_ends():
    low, middle, high = Interval(1, 0, 2), Interval(2, 1, 3), Interval(5, 4, 6)
    assert low.overlaps(middle)
    assert not low.overlaps(high)
    assert not high.overlaps(low)
    assert (low.excludes_zero, middle.excludes_zero) == (False, True)
