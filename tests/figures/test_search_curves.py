import numpy as np
import pytest

from pipeline.figures.search_curves import (
    describe_intermediate_values,
    draw_intermediate_values,
    intermediate_values_data,
)
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content


def with_curves(*curves, states=None):
    """A study of trials that have reported these values from the first epoch on."""
    content = study_content(len(curves), num_parameters=1, share_pruned=0.0, share_failed=0.0)
    states = states or ["COMPLETE"] * len(curves)
    for trial, curve, state in zip(content["trials"], curves, states, strict=True):
        trial["intermediate"] = {str(epoch): value for epoch, value in enumerate(curve, start=1)}
        trial["state"] = state
        trial["values"] = [curve[-1]] if state == "COMPLETE" else None
    content["best"] = {"number": 0}
    return parse_study(content)


def marks(figure, marker):
    return [line for line in figure.axes[0].lines if line.get_marker() == marker]


def test_each_trial_has_its_curve():
    data = intermediate_values_data(with_curves([0.3, 0.2, 0.1], [0.4]))

    assert [curve.epochs.tolist() for curve in data.curves] == [[1, 2, 3], [1]]
    assert data.curves[0].values.tolist() == [0.3, 0.2, 0.1]


def test_a_pruned_trial_ends_with_a_cross():
    figure = draw_intermediate_values(
        intermediate_values_data(
            with_curves([0.3, 0.2, 0.1], [0.4, 0.35], states=["COMPLETE", "PRUNED"])
        )
    )

    (cross,) = marks(figure, "x")
    assert (cross.get_xdata().tolist(), cross.get_ydata()) == ([2], [0.35])


def test_a_complete_trial_of_one_epoch_is_a_dot():
    figure = draw_intermediate_values(intermediate_values_data(with_curves([0.3, 0.2], [0.4])))

    assert [line.get_xdata().tolist() for line in marks(figure, "o")] == [[1]]


def test_a_value_that_was_not_finite_is_a_gap():
    data = intermediate_values_data(with_curves([0.3, None, 0.1]))

    assert np.isnan(data.curves[0].values).tolist() == [False, True, False]


def test_a_diverged_curve_leaves_the_axis_to_the_others():
    figure = draw_intermediate_values(
        intermediate_values_data(with_curves([0.3, 0.2], [0.31, 0.22], [0.4, 0.25], [5e3, 1e6]))
    )

    assert figure.axes[0].get_ylim()[1] < 1
    (triangle,) = (line for line in marks(figure, "^") if len(line.get_xdata()))
    assert triangle.get_xdata().tolist() == [2]


def test_best_default_and_endings_are_in_the_legend(texts_of):
    content = with_curves(
        [0.1], [0.2], [0.3], [0.4], states=["COMPLETE", "COMPLETE", "PRUNED", "FAIL"]
    )

    told = texts_of(draw_intermediate_values(intermediate_values_data(content)))

    assert {"best: trial 0, the default", "complete", "pruned", "failed"} <= set(told)


def test_pruning_is_told_by_what_it_saved():
    data = intermediate_values_data(
        with_curves([0.4] * 10, [0.5] * 2, [0.5] * 4, states=["COMPLETE", "PRUNED", "PRUNED"])
    )

    assert data.saved_share == pytest.approx(14 / 30)
    assert describe_intermediate_values(data) == (
        "Learning curves of 3 trials; 2 pruned, at epoch 3 in the median, which saved 47 % of the "
        "epochs; the best, trial 0, ends at 0.400."
    )


def test_with_two_objectives_there_are_no_curves():
    with pytest.raises(NothingToDraw, match="needs one objective"):
        intermediate_values_data(study(10, objectives=("mae", "weights")))


def test_trials_that_failed_before_their_first_epoch_have_no_curves():
    content = study_content(3, share_failed=1.0)
    for trial in content["trials"]:
        trial["intermediate"] = {}

    with pytest.raises(NothingToDraw, match="no trial has reported an epoch"):
        intermediate_values_data(parse_study(content))


def test_trials_that_only_reported_nothing_finite_have_no_curves():
    with pytest.raises(NothingToDraw, match="no trial has reported"):
        intermediate_values_data(with_curves([None], states=["FAIL"]))


def test_failed_trials_alone_still_show_their_curves():
    data = intermediate_values_data(study(5, share_failed=1.0))

    assert len(draw_intermediate_values(data).axes[0].lines) >= 5
    assert describe_intermediate_values(data) == "Learning curves of 5 trials."
