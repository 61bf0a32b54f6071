"""Better and worse are said on evidence only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.records import Estimate
from pipeline.report.verdicts import Standing, are_apart, judge, standing

MIRRORED = {
    Standing.BETTER: Standing.WORSE,
    Standing.AHEAD: Standing.BEHIND,
    Standing.LEVEL: Standing.LEVEL,
    Standing.BEHIND: Standing.AHEAD,
    Standing.WORSE: Standing.BETTER,
}


def around(value: float, half_width: float | None = 0.01) -> Estimate:
    if half_width is None:
        return Estimate(value=value)
    return Estimate(value=value, low=value - half_width, high=value + half_width)


@pytest.mark.parametrize(
    ("model", "baseline", "expected"),
    [
        (around(0.93), around(0.12), Standing.BETTER),
        (around(0.46), around(0.45), Standing.AHEAD),
        (around(0.45), around(0.45), Standing.LEVEL),
        (around(0.45), around(0.46), Standing.BEHIND),
        (around(0.12), around(0.93), Standing.WORSE),
    ],
)
def test_intervals_that_do_not_overlap_are_evidence(model, baseline, expected):
    assert standing("r2", model, baseline) is expected


def test_of_an_error_the_smaller_one_is_better():
    assert standing("mae", around(0.05), around(0.09)) is Standing.BETTER
    assert standing("mae", around(0.09), around(0.05)) is Standing.WORSE


def test_a_paired_interval_shows_what_overlapping_intervals_do_not():
    paired = Estimate(value=0.005, low=0.001, high=0.009)

    assert standing("r2", around(0.455), around(0.45), paired=paired) is Standing.BETTER


def test_a_paired_interval_that_holds_zero_shows_nothing():
    paired = Estimate(value=0.005, low=-0.001, high=0.011)

    assert standing("r2", around(0.455), around(0.45), paired=paired) is Standing.AHEAD


@pytest.mark.parametrize("paired", [None, around(0.8, None)])
def test_without_intervals_nothing_is_shown(paired):
    model, baseline = around(0.93, None), around(0.12, None)

    assert standing("r2", model, baseline, paired=paired) is Standing.AHEAD
    assert not are_apart(model, around(0.12))


@given(
    metric=st.sampled_from(["r2", "mae"]),
    values=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    widths=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
)
def test_the_other_side_sees_the_mirror_image(metric, values, widths):
    first, second = map(around, values, widths)

    assert standing(metric, second, first) is MIRRORED[standing(metric, first, second)]


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
    assert ridge["r2"].is_paired
    assert not verdicts[0].is_paired


def test_without_an_evaluation_there_is_nothing_to_judge(records_with):
    assert judge(records_with(evaluation=None)) == ()
