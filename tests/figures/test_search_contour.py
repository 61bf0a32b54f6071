import numpy as np
import pytest

from pipeline.figures.search_contour import contour_data, describe_contour, draw_contour
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content


def test_the_four_most_important_parameters_are_paired():
    data = contour_data(study(40, num_parameters=6))

    pairs = [tuple(each.name.split(".")[1] for each in pair.parameters) for pair in data.pairs]
    assert pairs == [
        ("learning_rate", "fusion_dim"),
        ("learning_rate", "dropout"),
        ("learning_rate", "schedule"),
        ("fusion_dim", "dropout"),
        ("fusion_dim", "schedule"),
        ("dropout", "schedule"),
    ]


def test_with_enough_trials_there_is_a_field():
    data = contour_data(study(40, num_parameters=3))

    field = data.pairs[1].field
    assert field is not None
    assert np.nanmax(field) <= data.shown.high
    assert np.nanmin(field) >= data.shown.low


def test_with_few_trials_the_panel_says_why_there_is_none(texts_of):
    data = contour_data(study(8, num_parameters=2, share_pruned=0.0, share_failed=0.0))

    assert data.pairs[0].field is None
    assert "no field: 8 trials, needs 10" in texts_of(draw_contour(data))


def test_trials_that_are_alone_have_no_field():
    content = study_content(12, num_parameters=3, share_pruned=0.0, share_failed=0.0)
    content["parameters"] = [content["parameters"][0], content["parameters"][2]]
    content["importances"] = None
    for number, trial in enumerate(content["trials"]):
        trial["overrides"] = {
            "training.learning_rate": 10 ** (-5 + 4 * (number % 4) / 3),
            "model.dropout": 0.6 * (number // 4) / 2,
        }

    (pair,) = contour_data(parse_study(content)).pairs

    assert (pair.field, pair.remark) == (None, "no field: trials too far apart")


def test_a_diverged_trial_does_not_colour_its_neighbourhood_beyond_the_scale():
    data = contour_data(study(40, num_parameters=2, diverged=(1e6,)))

    assert data.pairs[0].field is not None
    assert np.nanmax(data.pairs[0].field) <= data.shown.high < 1


def test_trials_without_a_conditional_parameter_are_left_out():
    content = study_content(40, num_parameters=5)
    content["importances"] = {"fanova": {"training.warmup_epochs": 1.0}}

    pair = contour_data(parse_study(content)).pairs[0]

    assert pair.parameters[0].name == "training.warmup_epochs"
    assert 0 < len(pair.values) < len(parse_study(content).complete)


def test_axes_are_scaled_as_the_parameters_are():
    panel = draw_contour(contour_data(study(40, num_parameters=2))).axes[0]

    assert panel.get_xscale() == "log"
    assert panel.get_yscale() == "linear"
    assert [label.get_text() for label in panel.get_yticklabels()] == ["32", "64", "128", "256"]


def test_one_parameter_has_no_pairs():
    with pytest.raises(NothingToDraw, match="needs two parameters; the space has 1"):
        contour_data(study(40, num_parameters=1))


def test_the_words_count_the_fields():
    assert describe_contour(contour_data(study(40, num_parameters=2))).endswith(
        "over 1 pair of training.learning_rate, model.fusion_dim; 1 of the pairs has enough "
        "trials for a field."
    )
