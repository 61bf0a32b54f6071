import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.seeds import generator
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.intervals.bootstrap import cluster_bootstrap, paired_differences
from pipeline.evaluation.intervals.conformal import calibrate, measure_coverage
from pipeline.evaluation.report import build_report
from pipeline.records.predictions import Predictions

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "evaluation_schema.json"


def some_predictions(num_clips=12):
    numbers = np.random.default_rng(0)
    return Predictions(
        clip_ids=[f"c{index}" for index in range(num_clips)],
        groups=[f"g{index // 2}" for index in range(num_clips)],
        y_pred=numbers.random((num_clips, 5)),
        y_true=numbers.random((num_clips, 5)),
    )


def report_of(predictions, **options):
    baselines = {"training_mean": np.full_like(predictions.y_pred, 0.5)}
    return build_report(
        predictions, baselines, **{"split": "test", "num_resamples": 20, "seed": 0} | options
    )


def some_coverage():
    known = some_predictions(20)
    calibration = calibrate(known.y_true, known.y_pred, known.groups, trait_names=TRAITS)
    return measure_coverage(calibration, some_predictions(), num_resamples=20, seed=0)


def shape_of(value):
    """Replace every leaf by the name of its type. Write each innermost object on one line."""
    if not isinstance(value, dict):
        return type(value).__name__
    shapes = {key: shape_of(item) for key, item in value.items()}
    if any(isinstance(item, dict) for item in value.values()):
        return shapes
    return ", ".join(f"{key}: {name}" for key, name in shapes.items())


def test_the_json_has_the_published_shape():
    report = report_of(
        some_predictions(),
        without_stream={"static": np.full((12, 5), 0.5)},
        by={"gender": ["female", "male"] * 6},
        group_overlap={"num_shared_groups": 0, "share_of_clips": 0.0},
        intervals=some_coverage(),
        traits=likert(*[(1.0, 7.0)] * 5),
    )
    assert shape_of(dataclasses.asdict(report)) == json.loads(GOLDEN.read_text())


def test_model_and_baselines_are_scored_on_the_same_resamples():
    predictions, constant = some_predictions(), np.full((12, 5), 0.5)
    report = report_of(predictions)
    options = {"groups": predictions.groups, "num_resamples": 20, "seed": 0}
    y_true, y_pred = predictions.y_true, predictions.y_pred
    assert report.metrics == cluster_bootstrap(y_true, y_pred, **options, trait_names=TRAITS)
    assert report.baselines["training_mean"] == cluster_bootstrap(
        y_true, constant, **options, trait_names=TRAITS
    )
    difference = paired_differences(y_true, constant, y_pred, **options, trait_names=TRAITS)
    assert report.baseline_differences["training_mean"] == difference
    assert (report.num_clips, report.num_groups) == (12, 6)
    report = report_of(predictions, without_stream={"static": constant})
    assert report.without_stream == {"static": difference}


def test_the_scores_of_each_model_are_resampled_once(monkeypatch):
    streams = []

    def count_stream(seed, stream):
        streams.append(stream)
        return generator(seed, stream)

    monkeypatch.setattr(bootstrap, "generator", count_stream)
    constant = {"static": np.full((12, 5), 0.5)}
    report_of(some_predictions(), without_stream=constant, traits=likert(*[(1.0, 7.0)] * 5))
    assert streams == ["bootstrap"] * 3  # the model, one baseline, and the model without a stream


def test_every_subgroup_is_scored_on_its_own_clips():
    predictions = some_predictions()
    ages = np.array([20] * 7 + [30] * 5)
    subset = report_of(predictions, by={"age": ages}).by["age"]["30"]
    assert (subset.num_clips, subset.num_groups) == (5, 3)
    expected = np.abs(predictions.y_true - predictions.y_pred)[7:].mean()
    assert subset.metrics["mae"]["mean"].value == pytest.approx(expected)


@pytest.mark.parametrize("missing", [None, math.nan, "", pd.NA])
def test_clips_without_a_value_are_a_subgroup(missing):
    found = report_of(some_predictions(), by={"gender": ["male"] * 8 + [missing] * 4}).by["gender"]
    assert {value: subset.num_clips for value, subset in found.items()} == {
        "(missing)": 4,
        "male": 8,
    }


def test_a_subgroup_from_one_group_has_no_interval():
    found = report_of(some_predictions(), by={"gender": ["x"] * 2 + ["y"] * 10})
    mae = found.by["gender"]["x"].metrics["mae"]["mean"]
    assert not mae.exists
    assert mae.value > 0


def test_a_column_of_more_than_fifty_values_is_an_error():
    predictions = some_predictions(51)
    report_of(predictions, by={"age": [*range(50), 0]}, num_resamples=1)
    with pytest.raises(PipelineError, match=r"column 'age' has 51 distinct values.* at most 50"):
        report_of(predictions, by={"age": range(51)})


def likert(*ranges):
    return [
        TraitLabel(name=name, label_range=each) for name, each in zip(TRAITS, ranges, strict=True)
    ]


def test_errors_in_original_units_are_errors_on_the_annotation_scale():
    predictions = some_predictions()
    report = report_of(predictions, traits=likert(*[(1.0, 7.0)] * 5))
    units = report.original_units
    error = 6 * (predictions.y_pred - predictions.y_true)
    mae, rmse = np.abs(error).mean(axis=0), np.sqrt((error**2).mean(axis=0))
    assert units.label_ranges["openness"] == (1.0, 7.0)
    for column, trait in enumerate(TRAITS):
        assert units.mae[trait].value == pytest.approx(mae[column])
        assert units.rmse[trait].value == pytest.approx(rmse[column])
    assert units.mae["mean"].value == pytest.approx(mae.mean())
    assert units.rmse["mean"].value == pytest.approx(rmse.mean())
    scaled = report.metrics["mae"]["mean"]
    assert units.mae["mean"].low == pytest.approx(6 * scaled.low)
    assert units.mae["mean"].high == pytest.approx(6 * scaled.high)
    assert units.rmse["mean"].low < units.rmse["mean"].value < units.rmse["mean"].high


def test_errors_on_different_scales_have_no_mean():
    traits = likert((1.0, 5.0), *[(0.0, 10.0)] * 4)
    report = report_of(some_predictions(), traits=traits)
    units, mae = report.original_units, report.metrics["mae"]
    assert units.mae.keys() == units.rmse.keys() == set(TRAITS)
    assert units.mae["openness"].value == pytest.approx(4 * mae["openness"].value)
    assert units.mae["neuroticism"].value == pytest.approx(10 * mae["neuroticism"].value)


@pytest.mark.parametrize("traits", [(), FIRST_IMPRESSIONS])
def test_annotations_that_were_not_rescaled_have_no_original_units(traits):
    assert report_of(some_predictions(), traits=traits).original_units is None


def test_predictions_without_annotations_are_an_error():
    unknown = dataclasses.replace(some_predictions(), y_true=None)
    with pytest.raises(RunError, match="the test predictions have no annotated scores"):
        report_of(unknown)


def test_a_column_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="column 'age' has 3 values for 12 clips"):
        report_of(some_predictions(), by={"age": [1, 2, 3]})
