import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.models.build import StreamSpec, build_model
from pipeline.models.heads import LinearScores
from pipeline.models.personality_model import PersonalityModel

TRAITS = ("first", "second", "third")
STREAMS = {
    "face": StreamSpec(width=4, num_steps=3, masked=True, can_be_absent=True),
    "audio": StreamSpec(width=2),
    "motion": StreamSpec(width=3, num_steps=5),
}
MEANS = np.array([0.45, 0.5, 0.55])


def numbers(name, *shape):
    return generator(0, name).normal(size=shape)


def make(fusion="cross_attention", **settings):
    return PersonalityModel(
        STREAMS, TRAITS, fusion_dim=8, fusion=fusion, **{"linear_start": "ridge", **settings}
    )


def make_inputs(num_clips=6):
    """Return inputs in which clip 0 lacks the face, and the other clips have two face steps."""
    mask = np.zeros((num_clips, 3))
    mask[1:, :2] = 1
    values = [
        numbers(name, num_clips, *((spec.num_steps,) if spec.num_steps else ()), spec.width)
        for name, spec in STREAMS.items()
    ]
    return [*(array.astype("float32") for array in values), mask.astype("float32")]


def start(model, coefficients=None):
    """Adapt the model to small slopes, and return the linear scores for `make_inputs`."""
    widths = {name: spec.width for name, spec in STREAMS.items()}
    slopes = {name: 0.01 * numbers(f"slopes {name}", width, 3) for name, width in widths.items()}
    moments = {
        name: (numbers(f"mean {name}", width), 1.0 + numbers(f"variance {name}", width) ** 2)
        for name, width in widths.items()
    }
    at_mean = sum(moments[name][0] @ slopes[name] for name in widths)
    linear = LinearScores(coefficients=slopes, intercept=MEANS - at_mean)
    model.adapt(moments, label_mean=MEANS, linear=linear)
    face, audio, motion, mask = (array.astype(np.float64) for array in make_inputs())
    steps = mask.sum(axis=1, keepdims=True)
    pooled = {
        "face": np.where(
            steps > 0,
            (face * mask[:, :, None]).sum(axis=1) / np.maximum(steps, 1),
            moments["face"][0],
        ),
        "audio": audio,
        "motion": motion.mean(axis=1),
    }
    return linear.intercept + sum(pooled[name] @ slopes[name] for name in widths)


@pytest.mark.parametrize("fusion", ["cross_attention", "concat", "gated", "late"])
def test_a_new_model_predicts_the_linear_scores(fusion):
    model = make(fusion)
    expected = start(model)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(model.predict_on_batch(make_inputs()), expected, atol=5e-4)
    is_central = np.abs(expected - 0.5) < 0.1
    found = model.predict_on_batch(make_inputs())
    np.testing.assert_allclose(found[is_central], expected[is_central], atol=1e-5)
    assert model.is_linear


def test_the_linear_model_is_not_trainable():
    paths = {weight.path for weight in make().trainable_weights}
    assert not any("linear_skip" in path for path in paths)
    assert any(
        "linear_skip" in weight.path for weight in make(linear_start="zero").trainable_weights
    )


def test_a_frozen_linear_model_does_not_change():
    model = make()
    model.get_layer("linear_skip").trainable = False
    start(model)
    assert not np.any(np.asarray(model.get_layer("linear_skip").kernel))
    assert not model.is_linear


def test_a_model_that_starts_at_zero_cannot_be_set():
    with pytest.raises(ModelError, match="linear_start='zero'"):
        start(make(linear_start="zero"))


@pytest.mark.parametrize("settings", [{"linear_start": "lasso"}, {"linear_skip": False}])
def test_invalid_starts_are_errors(settings):
    with pytest.raises(ModelError, match="linear_start"):
        make(**settings)


def test_images_cannot_start_at_ridge():
    config = ModelConfig(linear_start="ridge", static_encoder="conv", fusion_dim=8)
    images = StreamSpec(width=3, num_steps=2, image_size=(32, 32))
    with pytest.raises(ModelError, match=r"static stream contains images.*linear_start=zero"):
        build_model(config, {"static": images, "dynamic": StreamSpec(width=3)})


def test_a_saved_model_has_the_same_start():
    model = make()
    assert PersonalityModel.from_config(model.get_config()).starts_at_ridge
