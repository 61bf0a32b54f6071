import numpy as np
import pytest
from matplotlib.colors import to_hex

from pipeline.core.traits import TRAITS
from pipeline.figures.spec import NothingToDraw
from pipeline.figures.style import TRAIT_COLOURS
from pipeline.figures.traits import (
    FIGURES,
    describe_trait_comparison,
    describe_trait_metrics,
    draw_trait_comparison,
    draw_trait_metrics,
    trait_comparison_data,
    trait_metrics_data,
)
from tests.figures.contents import on_contents

trait_comparison_data = on_contents(trait_comparison_data)
trait_metrics_data = on_contents(trait_metrics_data)


def test_a_trait_has_its_own_curves_beside_the_mean(history):
    data = trait_metrics_data(history, "neuroticism")
    assert data.curves["mae"].validation[0] == pytest.approx(0.65)
    assert data.means["mae"][0] == pytest.approx(0.6)


def test_a_trait_is_drawn_in_its_colour(history):
    figure = draw_trait_metrics(trait_metrics_data(history, "openness"))
    colours = {to_hex(line.get_color(), keep_alpha=False) for line in figure.axes[0].lines}
    assert TRAIT_COLOURS["openness"].lower() in colours


def test_a_trait_that_never_varies_is_called_so(history, texts_of):
    for side in ("metrics", "val_metrics"):
        history["epoch"][side] |= {"pcc_openness": [0.0] * 4, "ccc_openness": [0.0] * 4}
    data = trait_metrics_data(history, "openness")
    assert data.is_constant
    assert any("does not vary" in text for text in texts_of(draw_trait_metrics(data)))
    assert describe_trait_metrics(data).endswith("its truth or its prediction does not vary.")
    assert "PCC" not in describe_trait_metrics(data)


def test_an_ordinary_trait_is_not_called_constant(history):
    assert not trait_metrics_data(history, "openness").is_constant


def test_a_metric_that_the_history_lacks_is_left_out(history):
    for side in ("metrics", "val_metrics"):
        del history["epoch"][side]["r2_openness"]
    data = trait_metrics_data(history, "openness")
    assert list(data.curves) == ["mae", "pcc", "ccc"]
    assert not draw_trait_metrics(data).axes[1].axison


def test_a_history_without_traits_is_nothing_to_draw(history):
    history["epoch"] |= {"metrics": {"mae": [0.1] * 4}, "val_metrics": {}}
    with pytest.raises(NothingToDraw, match="no metric of openness"):
        trait_metrics_data(history, "openness")


def test_the_alt_text_of_a_trait_tells_its_best_values(history):
    assert describe_trait_metrics(trait_metrics_data(history, "openness")) == (
        "Best validation values of openness: MAE 0.550 in epoch 4, R² 0.670 in epoch 4, "
        "PCC 0.670 in epoch 4, CCC 0.670 in epoch 4."
    )


def test_traits_are_compared_in_the_epoch_with_the_best_mae(history):
    history["epoch"]["val_metrics"]["mae"] = [0.4, 0.1, 0.3, 0.2]
    data = trait_comparison_data(history)
    assert data.epoch == 2
    assert data.validation["mae"] == pytest.approx([0.59, 0.60, 0.61, 0.62, 0.63])
    assert data.train["mae"] == pytest.approx([0.49, 0.50, 0.51, 0.52, 0.53])


def test_bars_begin_at_zero_and_have_the_colours_of_the_traits(history):
    axes = draw_trait_comparison(trait_comparison_data(history)).axes[0]
    assert [bar.get_x() for bar in axes.patches] == [0] * 5
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(
        [0.55, 0.56, 0.57, 0.58, 0.59]
    )
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [
        colour.lower() for colour in TRAIT_COLOURS.values()
    ]


def test_no_value_beside_a_bar_is_too_long_for_its_place(history, texts_of):
    for value in (-0.00614, -0.287, 0.000004, -123.456, float("nan")):
        history["epoch"]["val_metrics"]["r2_openness"] = [value] * 4
        texts = texts_of(draw_trait_comparison(trait_comparison_data(history)))
        numbers = [text for text in texts if text[:1] in "−–0123456789" and text]
        assert max(map(len, numbers)) <= 7


def test_without_validation_the_bars_show_training(make_history, texts_of):
    data = trait_comparison_data(make_history(validation=False))
    assert np.isnan(data.validation["mae"]).all()
    figure = draw_trait_comparison(data)
    assert figure.axes[0].patches[0].get_width() == pytest.approx(0.45)
    assert "validation" not in texts_of(figure)


def test_the_alt_text_of_the_comparison_names_every_trait(history):
    sentence = describe_trait_comparison(trait_comparison_data(history))
    assert sentence.startswith("In epoch 4 the validation MAE is openness 0.550 (CCC 0.670), ")
    assert all(trait in sentence for trait in TRAITS)


def test_files_have_the_names_that_tools_of_the_field_read():
    assert [spec.name for spec in FIGURES] == [
        "trait_Openness_metrics",
        "trait_Conscientiousness_metrics",
        "trait_Extraversion_metrics",
        "trait_Agreeableness_metrics",
        "trait_Neuroticism_metrics",
        "trait_comparison",
    ]
