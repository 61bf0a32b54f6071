import numpy as np
import pytest

from pipeline.figures.search_parallel import (
    MAX_PARAMETERS,
    NOT_SET,
    describe_parallel_coordinates,
    draw_parallel_coordinates,
    parallel_coordinates_data,
)
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content


def test_the_most_important_parameter_stands_beside_the_objective():
    data = parallel_coordinates_data(study(40, num_parameters=3))

    assert [axis.name for axis in data.axes] == [
        "model.dropout",
        "model.fusion_dim",
        "training.learning_rate",
        "MAE",
    ]


def test_with_two_objectives_the_first_stands_last():
    data = parallel_coordinates_data(study(20, num_parameters=1, objectives=("mae", "weights")))

    assert [axis.name for axis in data.axes] == ["training.learning_rate", "weights", "MAE"]


def test_trials_cross_the_axes_at_their_share():
    content = study_content(3, num_parameters=1, share_pruned=0.0, share_failed=0.0)
    for trial, rate, value in zip(
        content["trials"], (1e-5, 1e-3, 1e-1), (0.1, 0.2, 0.15), strict=True
    ):
        trial["overrides"]["training.learning_rate"] = rate
        trial["values"] = [value]

    heights = parallel_coordinates_data(parse_study(content)).heights

    assert heights == pytest.approx(np.array([[0, 0], [0.5, 1], [1, 0.5]]))


def test_a_parameter_that_did_not_apply_is_passed_below_its_axis(texts_of):
    data = parallel_coordinates_data(study(40, num_parameters=5))
    warmup = data.heights[:, 0]

    assert {each for each in warmup if each < 0} == {NOT_SET}
    assert data.has_gaps
    assert "not set " in texts_of(draw_parallel_coordinates(data))


def test_where_every_parameter_applies_nothing_is_said_of_gaps(texts_of):
    data = parallel_coordinates_data(study(40, num_parameters=2))

    assert not data.has_gaps
    assert "not set " not in texts_of(draw_parallel_coordinates(data))


@pytest.mark.parametrize("objective", ["mae", "accuracy"])
def test_the_best_trial_is_drawn_last(objective):
    data = parallel_coordinates_data(study(30, objectives=(objective,)))
    best = data.study.best

    assert best is not None
    assert data.study.complete[data.worst_first[-1]] is best


def test_of_many_trials_only_the_best_third_is_drawn_in_full():
    data = parallel_coordinates_data(study(150))
    num_complete = len(data.values)
    figure = draw_parallel_coordinates(data)

    lines = next(
        each for each in figure.axes[0].collections if len(each.get_paths()) == num_complete
    )
    opacities = lines.get_colors()[:, 3]
    assert (opacities == 1).sum() == len(opacities) - 2 * len(opacities) // 3


def test_a_diverged_trial_stands_at_the_end_of_the_axis(texts_of):
    data = parallel_coordinates_data(study(40, diverged=(1e6,)))

    assert data.heights[:, -1].max() == 1
    assert np.median(data.heights[:, -1]) > 0.2
    assert any("off the scale" in text for text in texts_of(draw_parallel_coordinates(data)))


def test_trials_of_one_value_cross_in_the_middle():
    content = study_content(2, num_parameters=1, share_pruned=0.0, share_failed=0.0)
    for trial in content["trials"]:
        trial["values"] = [0.1]

    data = parallel_coordinates_data(parse_study(content))

    assert data.heights[:, -1].tolist() == [0.5, 0.5]
    assert draw_parallel_coordinates(data).axes


def test_of_very_many_parameters_the_most_important_are_shown(texts_of):
    content = study_content(20, num_parameters=1)
    rate = content["parameters"][0]
    content["parameters"] = [rate | {"name": f"p{number}"} for number in range(20)]

    data = parallel_coordinates_data(parse_study(content))

    assert len(data.axes) == MAX_PARAMETERS + 1
    assert any(
        text.startswith("12 of 20 parameters") for text in texts_of(draw_parallel_coordinates(data))
    )


def test_of_many_choices_only_some_are_written():
    content = study_content(10, num_parameters=1)
    content["parameters"] = [
        {**content["parameters"][0], "kind": "categorical", "choices": list(range(40))}
    ]
    for trial in content["trials"]:
        trial["overrides"] = {"training.learning_rate": trial["number"]}

    axis = parallel_coordinates_data(parse_study(content)).axes[0]

    assert [text for _, text in axis.ticks] == ["0", "5", "10", "15", "20", "25", "30", "35"]


def test_the_words_tell_the_three_best():
    told = describe_parallel_coordinates(parallel_coordinates_data(study(40)))

    assert told.startswith("33 complete trials across 6 axes; the best in MAE: trial 17 (0.0945:")
    assert told.count("trial ") == 3


def test_one_trial_alone_is_no_comparison():
    with pytest.raises(NothingToDraw, match="needs 2 complete trials"):
        parallel_coordinates_data(study(1))
