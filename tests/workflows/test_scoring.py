import shutil

import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.data import batches
from pipeline.data.feature_set import load_feature_set
from pipeline.workflows.scoring import predict, refuse_other_shapes, refuse_unscorable

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def features(small_features):
    return load_feature_set(small_features)


@pytest.fixture
def make_network():
    """Return a function that makes a model of a user's own."""
    import keras

    def make(*, static=(3, 8), dynamic=(3, 4), num_scores=5):
        inputs = [keras.Input(static, name="static"), keras.Input(dynamic, name="dynamic")]
        flat = [keras.layers.Flatten()(each) for each in inputs]
        scores = keras.layers.Dense(num_scores)(keras.layers.Concatenate()(flat))
        return keras.Model(inputs, scores, name="mine")

    return make


def test_a_model_of_these_features_is_taken(make_network, features):
    refuse_other_shapes(make_network(), features)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {"static": (3, 6)},
            r"static\.npy: .* has shape \(clips, 3, 8\), .* takes \(clips, 3, 6\): 8 features inst",
        ),
        ({"dynamic": (16, 4)}, r"dynamic\.npy: the dynamic stream .*: 3 steps instead of 16\."),
        ({"static": (512,)}, r"static\.npy: .* takes \(clips, 512\): another kind of features"),
    ],
)
def test_a_model_of_other_features_is_refused_with_the_stream_that_differs(
    make_network, features, shapes, message
):
    with pytest.raises(ModelError, match=message) as refused:
        refuse_other_shapes(make_network(**shapes), features)
    assert ("dynamic" in str(refused.value)) == ("dynamic" in shapes)


def test_a_model_that_does_not_score_five_traits_is_refused(make_network, features):
    with pytest.raises(ModelError, match=r"mine: gives scores of shape \(6,\).*Change its last"):
        refuse_other_shapes(make_network(num_scores=6), features)


def test_a_model_that_does_not_say_what_it_takes_is_refused(features):
    import keras

    class Mine(keras.Model):
        """As a user may write one, without a graph."""

    with pytest.raises(ModelError, match="does not say what its inputs are"):
        refuse_other_shapes(Mine(name="mine"), features)


@pytest.fixture(scope="module")
def masked_network():
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    return CompletePersonalityModel(
        *(8, 4),
        fusion_dim=8,
        num_heads=2,
        static_steps=3,
        dynamic_steps=3,
        static_masked=True,
        dynamic_masked=True,
    )


def test_without_masks_every_step_is_there_to_a_model_that_takes_them(
    masked_network, features, small_features, tmp_path
):
    path = shutil.copytree(small_features, tmp_path / "masked")
    for stream in ("static", "dynamic"):
        np.save(path / f"{stream}_mask.npy", np.ones((60, 3), dtype=bool))
    masked = load_feature_set(path)
    rows = np.arange(60)
    np.testing.assert_array_equal(
        predict(masked_network, features, rows), predict(masked_network, masked, rows)
    )


def test_one_mask_of_two_may_be_missing(masked_network, small_features, tmp_path):
    path = shutil.copytree(small_features, tmp_path / "masked")
    mask = np.arange(3) < np.arange(60)[:, None] % 3 + 1
    np.save(path / "dynamic_mask.npy", mask)
    half = load_feature_set(path)
    scores = predict(masked_network, half, np.arange(60))
    np.save(path / "static_mask.npy", np.ones((60, 3), dtype=bool))
    whole = predict(masked_network, load_feature_set(path), np.arange(60))
    np.testing.assert_array_equal(scores, whole)


def test_a_model_that_takes_masks_cannot_be_trained_without_them(masked_network, features):
    refuse_unscorable(masked_network, features)
    with pytest.raises(ModelError, match=r"has no static_mask\.npy, which the model takes"):
        refuse_other_shapes(masked_network, features)


def test_masks_are_not_withheld_from_a_model_that_takes_none(
    make_network, tmp_path, small_features
):
    path = shutil.copytree(small_features, tmp_path / "masked")
    np.save(path / "static_mask.npy", np.ones((60, 3), dtype=bool))
    with pytest.raises(ModelError, match=r"has static_mask\.npy, but the model takes no masks"):
        predict(make_network(), load_feature_set(path), np.arange(60))


def test_scores_come_in_the_order_of_the_rows(make_network, features):
    network = make_network()
    scores = predict(network, features, np.arange(60))
    rows = np.array([41, 3, 3, 59])
    np.testing.assert_allclose(predict(network, features, rows), scores[rows], atol=1e-6)


def test_clips_with_large_inputs_are_scored_a_few_at_a_time(make_network, features, monkeypatch):
    network, rows = make_network(), np.arange(7)
    expected = predict(network, features, rows)
    monkeypatch.setattr(batches, "BATCH_BYTES", 3 * 4 * (3 * 8 + 3 * 4))
    sizes = watch_batches(network, monkeypatch)
    np.testing.assert_allclose(predict(network, features, rows), expected, rtol=1e-5)
    assert sizes == [3, 3, 1]


def watch_batches(network, monkeypatch):
    """Return a list that gets the size of every batch that the network scores."""
    predict_on_batch, sizes = network.predict_on_batch, []

    def watched(inputs):
        sizes.append(len(inputs[0]))
        return predict_on_batch(inputs)

    monkeypatch.setattr(network, "predict_on_batch", watched)
    return sizes


def test_no_rows_have_no_scores(make_network, features):
    assert predict(make_network(), features, np.arange(0)).shape == (0, 5)
