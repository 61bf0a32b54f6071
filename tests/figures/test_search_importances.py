import numpy as np
import pytest

from pipeline.figures.search_importances import (
    describe_parameter_importances,
    draw_parameter_importances,
    parameter_importances_data,
)
from pipeline.figures.search_study import parse_study
from pipeline.figures.spec import NothingToDraw
from tests.figures.search_studies import study, study_content

RATE, WIDTH, DROPOUT = "training.learning_rate", "model.fusion_dim", "model.dropout"


def measured(ped_anova, fanova, num_parameters=3):
    content = study_content(20, num_parameters=num_parameters)
    content["importances"] = {"ped_anova": ped_anova, "fanova": fanova}
    return parse_study(content)


def test_the_shares_of_both_measures_come_in_one_order():
    data = parameter_importances_data(
        measured({RATE: 0.2, WIDTH: 0.7, DROPOUT: 0.1}, {RATE: 0.5, WIDTH: 0.2, DROPOUT: 0.3})
    )

    assert data.names == (WIDTH, RATE, DROPOUT)
    assert data.shares["ped_anova"].tolist() == [0.7, 0.2, 0.1]
    assert data.shares["fanova"].tolist() == [0.2, 0.5, 0.3]


def test_each_measure_has_a_bar_for_each_parameter():
    data = parameter_importances_data(
        measured({RATE: 0.2, WIDTH: 0.8}, {RATE: 0.5, WIDTH: 0.5}, num_parameters=2)
    )

    widths = [bar.get_width() for bar in draw_parameter_importances(data).axes[0].patches]

    assert widths == [0.8, 0.2, 0.5, 0.5]


def test_a_parameter_that_no_measure_could_judge_is_named(texts_of):
    data = parameter_importances_data(measured({RATE: 0.2, WIDTH: 0.8}, {RATE: 0.5, WIDTH: 0.5}))

    assert data.not_measured == (DROPOUT,)
    assert f"not measured, as it is not set in every trial: {DROPOUT}" in texts_of(
        draw_parameter_importances(data)
    )


def test_a_parameter_that_one_measure_left_out_has_no_bar_there(texts_of):
    data = parameter_importances_data(
        measured({RATE: 1.0}, {RATE: 0.5, WIDTH: 0.5}, num_parameters=2)
    )

    assert np.isnan(data.shares["ped_anova"][1])
    assert " not measured" in texts_of(draw_parameter_importances(data))


def test_why_there_are_no_importances_is_told():
    with pytest.raises(NothingToDraw, match="needs 8 complete trials; there are 3"):
        parameter_importances_data(study(3, share_pruned=0.0, share_failed=0.0))


def test_one_parameter_alone_has_nothing_to_compare():
    with pytest.raises(NothingToDraw, match="needs two parameters"):
        parameter_importances_data(study(20, num_parameters=1))


def test_importances_of_zero_still_have_an_axis():
    data = parameter_importances_data(
        measured({RATE: 0.0, WIDTH: 0.0}, {RATE: 0.0, WIDTH: 0.0}, num_parameters=2)
    )

    assert draw_parameter_importances(data).axes[0].get_xlim() == (0, 1)


def test_more_parameters_than_rows_are_counted(texts_of):
    content = study_content(20, num_parameters=1)
    names = [f"model.setting_{number:02d}" for number in range(30)]
    content["parameters"] = [content["parameters"][0] | {"name": name} for name in names]
    content["importances"] = {"ped_anova": dict.fromkeys(names, 1 / 30)}

    figure = draw_parameter_importances(parameter_importances_data(parse_study(content)))

    assert len(figure.axes[0].patches) == 20
    assert "10 less important parameters not shown" in texts_of(figure)


def test_the_words_name_the_most_important_of_each_measure():
    data = parameter_importances_data(
        measured({RATE: 0.2, WIDTH: 0.8}, {RATE: 0.6, WIDTH: 0.4}, num_parameters=2)
    )

    told = describe_parameter_importances(data)

    assert f"by PED-ANOVA {WIDTH} 80 %, {RATE} 20 %" in told
    assert f"by fANOVA {RATE} 60 %, {WIDTH} 40 %" in told
