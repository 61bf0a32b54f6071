import shutil

import numpy as np
import pytest

from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import ModelError
from pipeline.core.traits import TRAITS
from pipeline.data import batches
from pipeline.data.feature_set import load_feature_set
from pipeline.models.inference import infer
from pipeline.records.predictions import Predictions
from pipeline.workflows import scoring
from pipeline.workflows.scoring import (
    Scores,
    absence_caveats,
    check_outputs,
    check_shapes,
    concatenate_scores,
    fit_run_baselines,
    predict,
    score,
)

pytestmark = pytest.mark.slow

ROWS = np.arange(60)


@pytest.fixture(scope="module")
def features(small_features):
    return load_feature_set(small_features)


@pytest.fixture
def with_masks(small_features, tmp_path):
    """Return a function that loads the small set with masks."""

    def load(**masks):
        path = tmp_path / "masked"
        if not path.exists():
            shutil.copytree(small_features, path)
        for stream, mask in masks.items():
            np.save(path / f"{stream}_mask.npy", mask)
        return load_feature_set(path)

    return load


ALL_STEPS = np.ones((60, 3), dtype=bool)


def make_network(*, static=(3, 8), dynamic=(3, 4), num_scores=5):
    """Make a custom model."""
    import keras

    inputs = [keras.Input(static, name="static"), keras.Input(dynamic, name="dynamic")]
    flat = [keras.layers.Flatten()(each) for each in inputs]
    scores = keras.layers.Dense(num_scores)(keras.layers.Concatenate()(flat))
    return keras.Model(inputs, scores, name="mine")


def network_without_graph():
    import keras

    class Mine(keras.Model):
        pass

    return Mine(name="mine")


@pytest.fixture(scope="module")
def masked_network():
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    steps = {"static_steps": 3, "dynamic_steps": 3}
    masked = {"static_masked": True, "dynamic_masked": True}
    return CompletePersonalityModel(8, 4, fusion_dim=8, num_heads=2, **steps, **masked)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: make_network(static=(3, 6)),
            r"static\.npy: .* has shape \(clips, 3, 8\), .* needs \(clips, 3, 6\): 8 features inst",
        ),
        (lambda: make_network(dynamic=(16, 4)), r"dynamic\.npy: .*: 3 steps instead of 16\."),
        (lambda: make_network(static=(512,)), r"static\.npy: .* needs \(clips, 512\): another"),
        (network_without_graph, "mine: does not define its inputs"),
    ],
)
def test_a_model_that_needs_other_features_is_an_error(features, make, message):
    with pytest.raises(ModelError, match=message):
        check_shapes(make(), features)


def test_a_model_with_other_outputs_is_an_error(masked_network):
    with pytest.raises(ModelError, match=r"mine: .* must be \(5,\).* is \(6,\)\. Change the"):
        check_outputs(make_network(num_scores=6), TRAITS)
    check_outputs(masked_network, TRAITS)
    with pytest.raises(ModelError, match=r"predicts openness.*labels are neuroticism"):
        check_outputs(masked_network, TRAITS[::-1])


def test_only_the_different_stream_is_named(features):
    with pytest.raises(ModelError) as error:
        check_shapes(make_network(static=(3, 6)), features)
    assert "dynamic" not in str(error.value)


def test_streams_without_masks_are_the_only_inputs_that_an_error_lists(features):
    import keras

    inputs = [keras.Input((3, 4), name="flow"), keras.Input((3, 8), name="face")]
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(each) for each in inputs])
    network = keras.Model(inputs, keras.layers.Dense(5)(joined))
    with pytest.raises(ModelError) as error:
        check_shapes(network, features, needs_masks=False)
    assert "mask" not in str(error.value)


def test_without_masks_all_steps_are_valid(masked_network, features, with_masks):
    expected = predict(masked_network, with_masks(static=ALL_STEPS, dynamic=ALL_STEPS), ROWS)
    np.testing.assert_array_equal(predict(masked_network, features, ROWS), expected)


def test_one_of_two_masks_can_be_missing(masked_network, with_masks):
    mask = np.arange(3) < ROWS[:, None] % 3 + 1
    scores = predict(masked_network, with_masks(dynamic=mask), ROWS)
    expected = predict(masked_network, with_masks(static=ALL_STEPS), ROWS)
    np.testing.assert_array_equal(scores, expected)


def test_training_needs_the_masks_of_the_model(masked_network, features):
    check_shapes(masked_network, features, needs_masks=False)
    with pytest.raises(ModelError, match=r"has no static_mask\.npy"):
        check_shapes(masked_network, features)


def test_masks_for_a_model_without_mask_inputs_are_an_error(with_masks):
    with pytest.raises(ModelError, match=r"has static_mask\.npy, but the model has no mask"):
        predict(make_network(), with_masks(static=ALL_STEPS), ROWS)


def test_scores_are_in_the_order_of_the_rows(features):
    network = make_network()
    scores = predict(network, features, ROWS)
    rows = np.array([41, 3, 3, 59])
    np.testing.assert_allclose(predict(network, features, rows), scores[rows], atol=1e-6)
    assert predict(network, features, rows[:0]).shape == (0, 5)


def fold_scores(clip_ids, **baselines):
    size = (len(clip_ids), 5)
    return Scores(
        predictions=Predictions(
            clip_ids=clip_ids,
            groups=clip_ids,
            y_pred=np.full(size, 0.5),
            y_true=np.full(size, 0.5),
        ),
        baselines={name: np.full(size, value) for name, value in baselines.items()},
        without_stream={"static": np.full(size, baselines["ridge"])},
    )


def test_scores_of_folds_are_joined():
    folds = [
        fold_scores(["a"], training_mean=0, ridge=1),
        fold_scores(["b"], training_mean=0, ridge=2),
    ]
    joined = concatenate_scores(folds)
    assert list(joined.predictions.clip_ids) == ["a", "b"]
    assert joined.without_stream["static"][:, 0].tolist() == [1, 2]


def test_a_fold_without_same_group_mean_contributes_its_training_mean():
    folds = [
        fold_scores(["a"], training_mean=0.2, ridge=0.1),
        fold_scores(["b"], training_mean=0.4, same_group_mean=0.9, ridge=0.1),
    ]
    found = concatenate_scores(folds).baselines
    assert found["same_group_mean"][:, 0].tolist() == [0.2, 0.9]
    assert found["training_mean"][:, 0] == pytest.approx([0.3, 0.3])
    assert "same_group_mean" not in concatenate_scores(folds[:1]).baselines


@pytest.mark.parametrize("stream", ["static", "dynamic"])
def test_a_model_without_a_stream_sees_the_training_mean(masked_network, with_masks, stream):
    mask = np.arange(3) < ROWS[:, None] % 3 + 1
    features = with_masks(**{stream: mask})
    values = features.streams[stream].read(ROWS)
    masked_network.standardizer(stream).set_moments(values[mask].mean(0), np.ones(values.shape[2]))
    found = predict(masked_network, features, ROWS, without=stream)
    changed = features.features_dir / f"{stream}.npy"
    np.save(changed, np.broadcast_to(values[mask].mean(0), values.shape))
    expected = predict(masked_network, load_feature_set(features.features_dir), ROWS)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_model_without_a_stream_uses_its_token_for_absent_streams(with_masks):
    from pipeline.models.personality_model import PersonalityModel

    spec = {"num_steps": 3, "masked": True, "can_be_absent": True}
    streams = {"static": {"width": 8} | spec, "dynamic": {"width": 4} | spec}
    network = PersonalityModel(streams, fusion_dim=8, num_heads=2)
    features = with_masks(static=ALL_STEPS, dynamic=ALL_STEPS)
    found = predict(network, features, ROWS[1:], without="static")
    is_absent = ~ALL_STEPS & False
    is_absent[0] = True  # at least one clip must have the stream
    expected = predict(network, with_masks(static=is_absent), ROWS[1:])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_large_inputs_are_scored_in_small_batches(features, monkeypatch):
    network, sizes = make_network(), []
    expected = predict(network, features, ROWS[:7])

    def logged(network, inputs):
        sizes.append(len(inputs[0]))
        return infer(network, inputs)

    monkeypatch.setattr(batches, "BATCH_BYTES", 3 * 4 * (3 * 8 + 3 * 4))
    monkeypatch.setattr(scoring, "infer", logged)
    np.testing.assert_allclose(predict(network, features, ROWS[:7]), expected, rtol=1e-5)
    assert sizes == [3, 3, 1]


def test_a_model_with_other_streams_is_an_error(features):
    from pipeline.models.personality_model import PersonalityModel

    streams = {"static": {"width": 8, "num_steps": 3}, "audio": {"width": 4, "num_steps": 3}}
    network = PersonalityModel(streams, fusion_dim=8, num_heads=2)
    with pytest.raises(ModelError, match=r"streams are static, dynamic, .* needs static, audio"):
        check_shapes(network, features)


def test_clips_that_lack_a_stream_of_all_training_clips_give_a_warning(with_masks):
    from pipeline.models.personality_model import PersonalityModel

    mask = ALL_STEPS.copy()
    mask[:7] = False
    features = with_masks(dynamic=mask)
    for can_be_absent in (False, True):
        streams = {
            "static": {"width": 8, "num_steps": 3},
            "dynamic": {
                "width": 4,
                "num_steps": 3,
                "masked": True,
                "can_be_absent": can_be_absent,
            },
        }
        network = PersonalityModel(streams, fusion_dim=8, num_heads=2)
        caveats = absence_caveats(network, features)
        assert [("7 of 60 clips lack the dynamic stream" in each) for each in caveats] == (
            [] if can_be_absent else [True]
        )
        assert np.isfinite(predict(network, features, ROWS)).all()


def test_a_model_of_one_of_two_streams_has_no_scores_without_a_stream(features):
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    steps = {"static_steps": 3, "dynamic_steps": 3}
    sizes = {"fusion_dim": 8, "num_heads": 2}
    network = CompletePersonalityModel(8, 4, fusion="static_only", **steps, **sizes)
    baselines = fit_run_baselines(features, ROWS, ExperimentConfig())
    assert score(network, baselines, features, ROWS).without_stream == {}
