import numpy as np
import pytest

from pipeline.figures.search_slice import MAX_PANELS, describe_slice, draw_slice, slice_data
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import PARAMETERS, study, study_content


def panel_of(figure, name):
    return next(axes for axes in figure.axes if axes.get_title("left") == name)


def test_each_parameter_has_a_panel_the_most_important_first():
    figure = draw_slice(slice_data(study(40, num_parameters=5)))

    assert [axes.get_title("left") for axes in figure.axes] == [
        each["name"] for each in PARAMETERS[:5]
    ]


def test_a_logarithmic_parameter_has_a_logarithmic_axis():
    figure = draw_slice(slice_data(study(40, num_parameters=3)))

    assert panel_of(figure, "training.learning_rate").get_xscale() == "log"
    assert panel_of(figure, "model.dropout").get_xscale() == "linear"


def test_dots_stand_at_setting_and_value():
    found = study(40, num_parameters=1)

    dots = draw_slice(slice_data(found)).axes[0].lines[0]

    assert dots.get_xdata().tolist() == [
        trial.settings["training.learning_rate"] for trial in found.complete
    ]
    assert dots.get_ydata().tolist() == [trial.values[0] for trial in found.complete]


def test_trials_without_a_conditional_parameter_are_counted_and_not_drawn(texts_of):
    data = slice_data(study(40, num_parameters=5))
    warmup = data.slices[-1]
    figure = draw_slice(data)

    assert warmup.parameter.name == "training.warmup_epochs"
    assert 0 < warmup.num_without < len(data.values)
    dots = panel_of(figure, warmup.parameter.name).lines[0]
    assert len(dots.get_xdata()) == len(data.values) - warmup.num_without
    assert f"not set in {warmup.num_without} complete trials" in texts_of(figure)


def test_pruned_trials_are_ticks_at_their_setting():
    found = study(40, num_parameters=1)
    pruned = [
        trial.settings["training.learning_rate"]
        for trial in found.trials
        if trial.state == "pruned"
    ]

    assert pruned
    assert slice_data(found).slices[0].places_without_value["pruned"] == pruned


def test_choices_with_enough_trials_have_their_median():
    content = study_content(7, num_parameters=2, share_pruned=0.0, share_failed=0.0)
    for trial, width, value in zip(
        content["trials"], (32, 32, 32, 64, 64, 64, 128), range(7), strict=True
    ):
        trial["overrides"]["model.fusion_dim"] = width
        trial["values"] = [0.1 + 0.01 * value]
    data = slice_data(parse_study(content))

    assert data.medians(data.slices[1]) == pytest.approx({0.0: 0.11, 1.0: 0.14})
    assert data.medians(data.slices[0]) == {}


def test_a_diverged_trial_leaves_the_axis_to_the_others(texts_of):
    figure = draw_slice(slice_data(study(40, diverged=(1e6,))))

    assert figure.axes[0].get_ylim()[1] < 1
    assert any("off the scale, up to 1,000,000" in text for text in texts_of(figure))


def test_more_parameters_than_panels_are_told(texts_of):
    content = study_content(20, num_parameters=1)
    rate = content["parameters"][0]
    content["parameters"] = [rate | {"name": f"p{number}"} for number in range(15)]
    for trial in content["trials"]:
        trial["overrides"] = {f"p{number}": 0.001 for number in range(15)}

    figure = draw_slice(slice_data(parse_study(content)))

    assert len(figure.axes) == MAX_PANELS
    assert "MAE against 12 of 15 parameters" in texts_of(figure)


def test_the_words_tell_the_best_settings():
    data = slice_data(study(40, num_parameters=5))
    best = data.study.best

    told = describe_slice(data)

    assert best is not None
    assert f"model.fusion_dim {best.settings['model.fusion_dim']}" in told
    assert "training.warmup_epochs not set" in told


def test_one_trial_alone_has_no_slices():
    with pytest.raises(NothingToDraw, match="needs 2 complete trials"):
        slice_data(study(1))


def test_a_parameter_that_no_trial_has_set_is_an_empty_panel():
    content = study_content(10, num_parameters=2)
    for trial in content["trials"]:
        trial["overrides"].pop("model.fusion_dim")

    data = slice_data(parse_study(content))

    assert np.isnan(data.slices[1].places).all()
    assert draw_slice(data).axes
