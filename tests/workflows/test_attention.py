import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ModelError
from pipeline.data import batches
from pipeline.data.feature_set import load_feature_set
from pipeline.data.stream import feature_moments
from pipeline.data.writer import write_feature_set
from pipeline.models import CompletePersonalityModel
from pipeline.records.attention import WHOLE
from pipeline.workflows.attention import measure_attention

pytestmark = pytest.mark.slow

NUM_CLIPS = 20
ROWS = np.arange(5, NUM_CLIPS)
SEQUENCES = {"static_steps": 4, "dynamic_steps": 3}


@pytest.fixture
def write_set(tmp_path):
    """Return a function that writes a set of 20 clips and loads it; sequences unless asked."""

    def write(*, static_shape=(4, 6), dynamic_shape=(3, 5), **more):
        rng = np.random.default_rng(0)
        features_dir = tmp_path / "features"
        write_feature_set(
            features_dir,
            static=rng.normal(3.0, 1.0, (NUM_CLIPS, *static_shape)).astype(np.float32),
            dynamic=rng.normal(size=(NUM_CLIPS, *dynamic_shape)).astype(np.float32),
            **{"labels": rng.uniform(size=(NUM_CLIPS, 5)), **more},
            clips=pd.DataFrame(
                {
                    "clip_id": [f"clip{row:02d}" for row in range(NUM_CLIPS)],
                    "group": [f"video{row // 2}" for row in range(NUM_CLIPS)],
                }
            ),
        )
        return load_feature_set(features_dir)

    return write


def build_network(**changes):
    keras.utils.set_random_seed(0)
    settings = {"num_heads": 2, "num_tokens": 3, **SEQUENCES}
    network = CompletePersonalityModel(6, 5, 8, **{**settings, **changes})
    # Nothing is trained here: weights that start at zero would hide what moves the scores.
    skip = network.get_layer("linear_skip")
    skip.kernel.assign(np.random.default_rng(0).normal(0.0, 0.1, skip.kernel.shape))
    return network


def measure(network, features, **options):
    return measure_attention(network, features, ROWS, **{"seed": 0, **options})


def test_everything_is_measured_of_sequences(write_set):
    found = measure(build_network(), write_set())
    assert found.key_kinds == {"static": "face frames", "dynamic": "flow windows"}
    assert found.num_keys == {"static": 4, "dynamic": 3}
    assert found.mean_maps["block_1/static_to_dynamic"].shape == (2, 4, 3)
    assert found.mean_maps["traits"].shape == (2, 5, 7)
    assert found.entropy["traits"].shape == (15, 2)
    assert found.trait_rollout["static"].shape == (5, 4)
    assert found.sample_maps["traits"].shape == (3, 2, 5, 7)
    assert list(found.deletions) == ["static", "dynamic"]
    assert found.deletions["static"].rankings == ("traits", "rollout")
    assert found.missing == {}


def test_clips_with_large_inputs_are_measured_a_few_at_a_time(write_set, monkeypatch):
    network, features = build_network(), write_set()
    expected, sizes = measure(network, features), set()
    for name in ("attention", "predict_on_batch"):
        monkeypatch.setattr(network, name, watched(getattr(network, name), sizes))
    monkeypatch.setattr(batches, "BATCH_BYTES", 4 * 4 * (4 * 6 + 3 * 5))
    found = measure(network, features)
    assert sizes == {4, 3}
    np.testing.assert_allclose(
        found.mean_maps["traits"], expected.mean_maps["traits"], rtol=1e-5, atol=1e-6
    )
    for name, curve in found.deletions["static"].movement.items():
        np.testing.assert_allclose(
            curve, expected.deletions["static"].movement[name], rtol=1e-4, atol=1e-6
        )


def watched(call, sizes):
    """Return `call`, which notes the sizes of its batches in `sizes`."""

    def noted(inputs, **settings):
        sizes.add(len(inputs[0]))
        return call(inputs, **settings)

    return noted


def test_named_clips_have_the_maps_of_those_clips(write_set):
    network, features = build_network(), write_set()
    found = measure(network, features)
    row = features.clip_ids.tolist().index(found.sample_ids[1])
    assert row in ROWS
    inputs = [features.static.read(np.array([row])), features.dynamic.read(np.array([row]))]
    expected = network.attention(inputs)["traits"][0]
    np.testing.assert_allclose(found.sample_maps["traits"][1], expected, rtol=1e-4)


def test_of_many_clips_some_are_drawn_and_the_seed_says_which(write_set):
    network, features = build_network(), write_set()
    first, again, other = (measure(network, features, max_clips=6, seed=s) for s in (0, 0, 1))
    assert len(first.clip_ids) == 6
    assert set(first.clip_ids) <= set(features.clip_ids[ROWS])
    assert first.clip_ids == again.clip_ids != other.clip_ids


def test_curves_begin_at_the_scores_of_the_whole_clip(write_set):
    network, features = build_network(), write_set()
    found = measure(network, features).deletions["static"]
    scores = network.predict_on_batch([features.static.read(ROWS), features.dynamic.read(ROWS)])
    expected = np.abs(scores - features.labels[ROWS]).mean()
    for curve in found.error.values():
        np.testing.assert_allclose(curve[:, 0], expected, rtol=1e-5)
    assert all((curve[:, 0] == 0).all() for curve in found.movement.values())


def test_hidden_frames_are_replaced_by_the_training_mean(write_set):
    network, features = build_network(), write_set()
    static_mean, variance = feature_moments(features.static, np.arange(5))
    network.adapt(
        static_moments=(static_mean, variance),
        dynamic_moments=feature_moments(features.dynamic, np.arange(5)),
    )
    found = measure(network, features).deletions["static"]
    hidden = np.broadcast_to(static_mean, (len(ROWS), 4, 6)).astype(np.float32)
    dynamic = features.dynamic.read(ROWS)
    before = network.predict_on_batch([features.static.read(ROWS), dynamic])
    after = network.predict_on_batch([hidden, dynamic])
    assert found.hidden_by == "replaced by the mean of the training clips"
    expected = np.abs(after - before).mean()
    assert found.movement["random"][:, -1] == pytest.approx([expected] * 5, rel=1e-3)


def test_hidden_frames_are_masked_where_there_is_a_mask(write_set):
    mask = np.ones((NUM_CLIPS, 4), np.bool_)
    mask[::2, 2:] = False
    network, features = build_network(static_masked=True), write_set(static_mask=mask)
    found = measure(network, features)
    assert found.deletions["static"].hidden_by == "taken out by the mask"
    assert found.deletions["dynamic"].hidden_by == "replaced by the mean of the training clips"
    inputs = [features.static.read(ROWS), features.dynamic.read(ROWS)]
    before = network.predict_on_batch([*inputs, mask[ROWS].astype(np.float32)])
    after = network.predict_on_batch([*inputs, np.zeros((len(ROWS), 4), np.float32)])
    assert found.deletions["static"].movement["random"][0, -1] == pytest.approx(
        np.abs(after - before).mean(), rel=1e-3
    )


def test_learned_tokens_cannot_be_hidden_and_the_reason_is_kept(write_set):
    features = write_set(static_shape=(6,))
    found = measure(build_network(static_steps=None), features)
    assert found.key_kinds["static"] == "learned tokens"
    assert list(found.deletions) == ["dynamic"]
    assert "the static stream is one vector a clip" in found.missing["static"]


@pytest.mark.parametrize(
    ("fusion", "maps", "streams"),
    [
        ("late", ["static/traits", "dynamic/traits"], ["static", "dynamic"]),
        ("dynamic_only", ["traits"], ["dynamic"]),
    ],
)
def test_fusions_without_blocks_are_ranked_by_weight_alone(write_set, fusion, maps, streams):
    found = measure(build_network(fusion=fusion), write_set())
    assert list(found.mean_maps) == maps
    assert list(found.deletions) == streams
    assert all(curves.rankings == ("traits",) for curves in found.deletions.values())


def test_a_fusion_without_attention_gives_its_reason(write_set):
    found = measure(build_network(fusion="concat"), write_set())
    assert found.mean_maps == {}
    assert "fusion='concat' has no attention" in found.missing[WHOLE]


def test_a_foreign_model_gives_its_reason(write_set):
    inputs = [keras.Input((4, 6), name="static"), keras.Input((3, 5), name="dynamic")]
    flat = [keras.layers.Flatten()(tensor) for tensor in inputs]
    scores = keras.layers.Dense(5)(keras.layers.Concatenate()(flat))
    found = measure(keras.Model(inputs, scores, name="mine"), write_set())
    assert "mine is a model of another kind" in found.missing[WHOLE]


def test_no_clips_give_a_reason(write_set):
    found = measure_attention(build_network(), write_set(), ROWS[:0], seed=0)
    assert "no clips" in found.missing[WHOLE]


def test_features_of_another_shape_are_refused(write_set):
    with pytest.raises(ModelError, match="but the model takes"):
        measure(build_network(static_steps=5), write_set())


def test_without_labels_the_movement_is_measured_and_the_error_is_not(write_set):
    found = measure(build_network(), write_set(labels=None))
    assert found.deletions["static"].error == {}
    assert found.deletions["static"].area("random") > 0
