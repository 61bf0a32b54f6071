import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.models.heads import LinearSkip, StreamMixture, TraitHead, TraitScores
from tests.models.layer_checks import check_layer

MEAN = np.array([0.5, 0.6, 0.3, 0.0, 1.0])


def normal(name, *shape):
    return generator(0, name).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("layer_class", "arguments", "inputs"),
    [
        (TraitHead, {"num_traits": 5, "dropout_rate": 0.2}, {"inputs": normal("x", 4, 1, 8)}),
        (TraitHead, {"num_traits": 5, "dropout_rate": 0.2}, {"inputs": normal("x", 4, 5, 8)}),
        (LinearSkip, {"num_traits": 5}, {"inputs": normal("inputs", 4, 3)}),
        (StreamMixture, {}, {"inputs": [normal("first", 4, 5), normal("second", 4, 5)]}),
        (StreamMixture, {}, {"inputs": [normal(name, 4, 5) for name in "abc"]}),
    ],
)
def test_layers_can_be_configured_trained_and_saved(layer_class, arguments, inputs, tmp_path):
    check_layer(
        layer_class, arguments, inputs, output_shape=(4, 5), num_trainable=1, tmp_path=tmp_path
    )


def test_each_trait_uses_its_own_features_and_weights():
    head = TraitHead(5, dropout_rate=0.0)
    features = normal("features", 2, 5, 8)
    logits = np.asarray(head(features))
    features[:, 3] = normal("others", 2, 8)
    changed = np.asarray(head(features)) != logits
    np.testing.assert_array_equal(changed, [[False, False, False, True, False]] * 2)


@pytest.mark.parametrize("width", [4, 400])
def test_one_step_of_adam_has_the_same_effect_for_any_number_of_inputs(width):
    skip = LinearSkip(5)
    skip.build((None, width))
    skip.kernel.assign(np.full((width, 5), 1e-3))  # after one step with learning rate 0.001
    np.testing.assert_allclose(skip(np.ones((1, width))), np.full((1, 5), 0.1), rtol=1e-5)


def test_the_mixture_has_a_weight_per_trait():
    first, second = normal("first", 4, 5), normal("second", 4, 5)
    mixture = StreamMixture()
    mixture([first, second])
    mixture.balance.assign([50.0, -50.0, 0.0, 0.0, 0.0])
    mixed = np.asarray(mixture([first, second]))
    np.testing.assert_allclose(mixed[:, 0], first[:, 0], rtol=1e-5)
    np.testing.assert_allclose(mixed[:, 1], second[:, 1], rtol=1e-5)
    np.testing.assert_allclose(mixed[:, 2], (first + second)[:, 2] / 2, rtol=1e-5)


def test_the_mixture_of_three_streams_has_a_weight_per_trait_and_stream():
    streams = [normal(name, 4, 3) for name in "abc"]
    mixture = StreamMixture()
    mixture(streams)
    # The softmax of (log 2, 0, 0) is (1/2, 1/4, 1/4). The logit of the last stream is always 0.
    mixture.balance.assign([[np.log(2), 0.0, -50.0], [0.0, 0.0, -50.0]])
    first, second, third = streams
    expected = [first[:, 0] / 2 + (second + third)[:, 0] / 4, sum(streams)[:, 1] / 3, third[:, 2]]
    np.testing.assert_allclose(mixture(streams), np.transpose(expected), atol=1e-6)


def test_the_slope_in_the_middle_is_a_quarter():
    scores = TraitScores()
    logits = [np.full((1, 5), 0.5), np.full((1, 5), -1.5)]
    scores(logits)
    scores.bias.assign([1.0, 0.0, 1.4, 0.6, 1.0])
    expected = np.array([[0.5, 0.25, 0.6, 0.4, 0.5]])
    np.testing.assert_allclose(scores(logits), expected, atol=1e-3)


def test_scores_stay_in_the_range_and_have_a_slope_at_its_ends():
    logits = np.array([[-1e6, -2.1, -2.0, 2.0, 1e6]])
    found = np.asarray(TraitScores()([logits]))[0]
    # At position 0 the soft clip is log(2) / 20, except for the tail at 1.
    np.testing.assert_allclose(
        found, [0.0, 0.0237, np.log(2) / 20, 1 - np.log(2) / 20, 1.0], atol=1e-4
    )


def test_zero_logits_give_the_clipped_label_mean():
    scores = TraitScores()
    scores([np.zeros((1, 5))])
    scores.set_label_mean(MEAN)
    np.testing.assert_allclose(scores([np.zeros((1, 5))]), [[0.5, 0.6, 0.3, 0.01, 0.99]], rtol=1e-5)


@pytest.mark.parametrize(
    ("mean", "message"),
    [
        (MEAN[:4], r"shape \(5,\), but has shape \(4,\)"),
        (MEAN * 100, r"must be in \[0, 1\]"),
        (MEAN * np.nan, r"must be in \[0, 1\]"),
    ],
)
def test_an_invalid_label_mean_is_an_error(mean, message):
    scores = TraitScores()
    scores.build([(None, 5)])
    with pytest.raises(ModelError, match=message):
        scores.set_label_mean(mean)
