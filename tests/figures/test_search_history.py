import pytest

from pipeline.figures.search_history import (
    describe_optimization_history,
    draw_optimization_history,
    optimization_history_data,
)
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content


def with_values(*values, objectives=("mae",)):
    """A study of trials with these values; None for one that was pruned."""
    content = study_content(
        len(values), objectives=objectives, share_pruned=0.0, share_failed=0.0, num_parameters=1
    )
    for trial, value in zip(content["trials"], values, strict=True):
        trial["values"] = value if value is None or isinstance(value, list) else [value]
        trial["state"] = "PRUNED" if value is None else "COMPLETE"
    complete = [trial for trial in content["trials"] if trial["values"]]
    pick = max if objectives[0] == "accuracy" else min
    best = pick(complete, key=lambda trial: trial["values"][0], default=None)
    content["best"] = best and {"number": best["number"]}
    return parse_study(content)


def test_the_best_so_far_only_falls_where_lower_is_better():
    data = optimization_history_data(with_values(0.3, 0.4, None, 0.2, 0.25))

    assert data.numbers.tolist() == [0, 1, 3, 4]
    assert data.best_so_far[0].tolist() == [0.3, 0.3, 0.2, 0.2]


def test_the_best_so_far_only_rises_where_higher_is_better():
    data = optimization_history_data(with_values(0.7, 0.6, 0.8, objectives=("accuracy",)))

    assert data.best_so_far[0].tolist() == [0.7, 0.7, 0.8]


def test_trials_without_a_value_are_kept_by_their_state():
    data = optimization_history_data(with_values(0.3, None, 0.2, None))

    assert data.without_value == {"pruned": [1.0, 3.0], "failed": [], "lost": []}


def test_the_line_reaches_the_last_trial_even_where_it_was_pruned():
    figure = draw_optimization_history(optimization_history_data(with_values(0.3, 0.2, None)))

    steps = next(line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    assert steps.get_xdata()[-1] == 2
    assert steps.get_ydata()[-1] == 0.2


def test_two_objectives_have_a_panel_each():
    data = optimization_history_data(
        with_values([0.3, 900.0], [0.2, 1000.0], objectives=("mae", "weights"))
    )

    labels = [axes.get_ylabel() for axes in draw_optimization_history(data).axes]

    assert labels == ["validation MAE (score units)", "number of weights"]
    assert data.best_so_far[1].tolist() == [900.0, 900.0]


def test_default_and_best_are_in_the_legend(texts_of):
    figure = draw_optimization_history(optimization_history_data(with_values(0.3, 0.2, None)))

    assert {"default configuration", "best: trial 1", "pruned, no value"} <= set(texts_of(figure))


def test_a_default_that_is_the_best_is_told_so(texts_of):
    data = optimization_history_data(with_values(0.1, 0.2))

    assert "best: trial 0, the default" in texts_of(draw_optimization_history(data))
    assert describe_optimization_history(data) == (
        "2 trials (2 complete), best MAE 0.100 in trial 0, which is the default configuration."
    )


def test_a_diverged_trial_is_told_and_leaves_the_axis_to_the_others(texts_of):
    figure = draw_optimization_history(
        optimization_history_data(with_values(0.3, 0.2, 1e6, 0.25, 0.21))
    )

    assert figure.axes[0].get_ylim()[1] < 1
    assert "▲ 1 value off the scale, up to 1,000,000" in texts_of(figure)


def test_the_words_tell_what_became_of_all_trials():
    told = describe_optimization_history(optimization_history_data(with_values(0.3, None, 0.2)))

    assert told == (
        "3 trials (2 complete, 1 pruned), best MAE 0.200 in trial 2, the default configuration "
        "has MAE 0.300."
    )


def test_a_search_in_which_all_failed_has_no_history():
    with pytest.raises(NothingToDraw, match="found 4 failed"):
        optimization_history_data(study(4, share_failed=1.0))
