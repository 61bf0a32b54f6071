"""The headline shows the mean scores against ridge regression and the best possible score."""

import dataclasses

import pytest

from pipeline.commands.results import print_headline
from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import METRICS
from pipeline.records.evaluation import Coverage, EvaluationReport, Interval, OriginalUnits

NAMES = ("mean", *TRAITS)


def scores(value, low=0.4, high=0.6):
    interval = Interval(value=value, low=low, high=high)
    return {metric: dict.fromkeys(NAMES, interval) for metric in METRICS}


@pytest.fixture
def report():
    return EvaluationReport(
        split="validation",
        num_clips=240,
        num_groups=40,
        metrics=scores(0.5),
        baselines={"ridge": scores(0.25)},
        baseline_differences={"ridge": scores(0.25, 0.1, 0.4)},
        num_resamples=100,
    )


def shown(capsys, *arguments, **options):
    print_headline(*arguments, **options)
    return capsys.readouterr().out


def test_the_score_stands_beside_ridge_regression_and_the_best_possible_score(report, capsys):
    text = shown(capsys, report, best_r2=0.8)
    (line,) = [line for line in text.splitlines() if line.startswith("  R²")]
    for part in ("0.500 [0.400, 0.600]", "ridge regression 0.250", "best possible 0.800 (62 % "):
        assert part in line
    assert "accuracy  0.5000 [0.4000, 0.6000]" in text
    assert "240 clips of 40 groups" in text
    assert "Better than ridge regression" in text.splitlines()[-1]


def test_without_enough_groups_the_reason_for_the_missing_coverage_is_printed(report, capsys):
    assert "needs 18 groups" in shown(capsys, report)


def test_the_coverage_of_the_intervals_is_one_line(report, capsys):
    coverage = Coverage(
        level=0.9,
        measured_on="new groups",
        num_clips=240,
        num_groups=40,
        coverage=dict.fromkeys(NAMES, Interval(value=0.92)),
        mean_width=dict.fromkeys(NAMES, 0.4),
    )
    text = shown(capsys, dataclasses.replace(report, intervals=coverage))
    assert "90 % prediction intervals contain 92 % of the scores; mean width 0.40" in text


def test_errors_in_original_units_are_shown_with_the_scale(report, capsys):
    units = OriginalUnits(
        label_ranges=dict.fromkeys(TRAITS, (1.0, 7.0)),
        mae=dict.fromkeys(NAMES, Interval(value=0.75)),
        rmse=dict.fromkeys(NAMES, Interval(value=1.0)),
    )
    text = shown(capsys, dataclasses.replace(report, original_units=units))
    (line,) = [line for line in text.splitlines() if "original scale" in line]
    assert line.split()[:2] == ["MAE", "0.7500"]
    assert line.endswith("1 to 7")
