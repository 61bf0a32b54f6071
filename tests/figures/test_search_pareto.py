import pytest

from pipeline.figures.search_pareto import (
    describe_pareto_front,
    draw_pareto_front,
    pareto_front_data,
)
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content


def with_values(*values, pareto, objectives=("mae", "weights")):
    content = study_content(
        len(values), objectives=objectives, share_failed=0.0, num_parameters=1, with_default=False
    )
    for trial, pair in zip(content["trials"], values, strict=True):
        trial["values"] = list(pair)
    return parse_study(content | {"pareto": list(pareto), "best": {"number": pareto[0]}})


def front_of(figure):
    return next(line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")


def test_the_front_goes_from_the_cheapest_to_the_dearest():
    data = pareto_front_data(
        with_values((0.1, 900.0), (0.3, 100.0), (0.2, 400.0), (0.4, 500.0), pareto=[0, 1, 2])
    )

    assert data.numbers[data.front].tolist() == [1, 2, 0]
    front = front_of(draw_pareto_front(data))
    assert front.get_xdata().tolist() == [100, 400, 900]
    assert front.get_ydata().tolist() == [0.3, 0.2, 0.1]


def test_trials_behind_the_front_are_dots():
    data = pareto_front_data(with_values((0.1, 900.0), (0.4, 950.0), pareto=[0]))

    dots = draw_pareto_front(data).axes[0].lines[0]

    assert (dots.get_xdata().tolist(), dots.get_ydata().tolist()) == ([950], [0.4])


def test_costs_that_lie_far_apart_are_drawn_logarithmically():
    near = pareto_front_data(with_values((0.1, 900.0), (0.2, 100.0), pareto=[0, 1]))
    far = pareto_front_data(with_values((0.1, 90000.0), (0.2, 100.0), pareto=[0, 1]))

    assert draw_pareto_front(near).axes[0].get_xscale() == "linear"
    assert draw_pareto_front(far).axes[0].get_xscale() == "log"


def test_trials_of_the_front_are_numbered_but_not_on_top_of_each_other():
    close = with_values(
        (0.1, 900.0),
        (0.3, 100.0),
        (0.30001, 99.0),
        (0.2, 500.0),
        (0.4, 50.0),
        pareto=[0, 1, 2, 3, 4],
    )

    texts = [text.get_text() for text in draw_pareto_front(pareto_front_data(close)).axes[0].texts]

    assert texts == ["4", "2", "3"]  # 1 is too close to 2; 0 is the star


def test_a_diverged_trial_leaves_the_axis_to_the_others():
    data = pareto_front_data(
        with_values((0.1, 900.0), (0.2, 100.0), (0.3, 950.0), (1e6, 970.0), pareto=[0, 1])
    )

    assert draw_pareto_front(data).axes[0].get_ylim()[1] < 1


def test_the_panel_says_which_way_is_better(texts_of):
    figure = draw_pareto_front(pareto_front_data(study(20, objectives=("accuracy", "latency_ms"))))

    assert "accuracy: higher is better; latency in ms: lower is better" in texts_of(figure)
    assert "Accuracy against latency in ms" in texts_of(figure)


def test_the_words_tell_both_ends_of_the_front():
    data = pareto_front_data(
        with_values((0.1, 900.0), (0.3, 100.0), (0.2, 400.0), (0.4, 500.0), pareto=[0, 1, 2])
    )

    assert describe_pareto_front(data) == (
        "3 of 4 complete trials form the front, from trial 1 with MAE 0.300 and weights 100 to "
        "trial 0 with MAE 0.100 and weights 900."
    )


def test_one_objective_has_no_front():
    with pytest.raises(NothingToDraw, match="needs two objectives"):
        pareto_front_data(study(10))


def test_one_trial_is_its_own_front():
    data = pareto_front_data(study(1, objectives=("mae", "weights")))

    assert data.is_front.tolist() == [True]
    assert draw_pareto_front(data).axes
