"""Better and worse are said on evidence only."""

import pytest

from pipeline.records.evaluation import Interval
from pipeline.report.verdicts import Standing, judge, standing


def around(value: float) -> Interval:
    return Interval(value, value - 0.01, value + 0.01)


@pytest.mark.parametrize(
    ("metric", "difference", "expected"),
    [
        ("r2", around(0.1), Standing.BETTER),
        ("r2", around(0.005), Standing.AHEAD),
        ("r2", around(0.0), Standing.LEVEL),
        ("r2", around(-0.005), Standing.BEHIND),
        ("r2", around(-0.1), Standing.WORSE),
        ("mae", around(-0.1), Standing.BETTER),
        ("mae", around(0.1), Standing.WORSE),
        ("r2", Interval(0.8), Standing.AHEAD),
    ],
)
def test_the_paired_interval_is_the_evidence(metric, difference, expected):
    assert standing(metric, difference) is expected


def test_every_legitimate_baseline_is_judged_in_both_metrics(records_with):
    verdicts = judge(records_with())

    assert [(verdict.metric, verdict.baseline) for verdict in verdicts] == [
        ("r2", "training_mean"),
        ("r2", "ridge"),
        ("accuracy", "training_mean"),
        ("accuracy", "ridge"),
    ]


def test_paired_differences_of_the_run_are_used(records_with, scores):
    shown = scores(r2=(0.15, -0.01, 0.31), accuracy=(0.02, 0.01, 0.03))

    verdicts = judge(records_with(differences={"ridge": shown}))

    ridge = {verdict.metric: verdict for verdict in verdicts if verdict.baseline == "ridge"}
    assert ridge["r2"].standing is Standing.AHEAD
    assert ridge["accuracy"].standing is Standing.BETTER


def test_without_an_evaluation_there_is_nothing_to_judge(records_with):
    assert judge(records_with(evaluation=None)) == ()
