import functools

import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.traits import TRAITS
from pipeline.data import batches
from pipeline.data.feature_set import load_feature_set
from pipeline.data.stream import feature_moments
from pipeline.data.writer import StreamValues, write_feature_set
from pipeline.models import CompletePersonalityModel
from pipeline.models.attention import TraitAttention
from pipeline.models.personality_model import PersonalityModel
from pipeline.models.streams import StreamSpec
from pipeline.records.attention import WHOLE
from pipeline.workflows import attention
from pipeline.workflows.attention import attention_table, check_explainable, measure_attention
from pipeline.workflows.scoring import predict

pytestmark = pytest.mark.slow

NUM_CLIPS = 20
ROWS = np.arange(5, NUM_CLIPS)
IDS = [f"clip{(7 * row) % NUM_CLIPS:02d}" for row in range(NUM_CLIPS)]  # not sorted


@pytest.fixture
def write_set(tmp_path):
    """Return a function that writes and loads 20 clips; both streams are sequences by default."""

    def write(*, static_shape=(4, 6), dynamic_shape=(3, 5), seconds=None, **more):
        rng = np.random.default_rng(0)
        features_dir = tmp_path / "features"
        static = rng.normal(3.0, 1.0, (NUM_CLIPS, *static_shape)).astype(np.float32)
        dynamic = rng.normal(size=(NUM_CLIPS, *dynamic_shape)).astype(np.float32)
        write_feature_set(
            features_dir,
            streams={
                "static": StreamValues(values=static, mask=more.pop("static_mask", None)),
                "dynamic": StreamValues(values=dynamic, mask=more.pop("dynamic_mask", None)),
            },
            **{"labels": rng.uniform(size=(NUM_CLIPS, 5)), **more},
            clips=pd.DataFrame(
                {"clip_id": IDS, "group": [f"video{row // 2}" for row in range(NUM_CLIPS)]}
            ),
        )
        if seconds is not None:
            np.save(features_dir / "seconds.npy", seconds)
        return load_feature_set(features_dir)

    return write


def build_network(**changes):
    keras.utils.set_random_seed(0)
    settings = {"num_heads": 2, "num_tokens": 3, "static_steps": 4, "dynamic_steps": 3}
    network = CompletePersonalityModel(6, 5, 8, **{**settings, **changes})
    # The network is not trained: weights of zero would hide changes of the scores.
    skip = network.get_layer("linear_skip")
    skip.kernel.assign(np.random.default_rng(0).normal(0.0, 0.1, skip.kernel.shape))
    return network


def inputs_of(features, rows):
    return [stream.read(np.array(rows)) for stream in features.streams.values()]


def other_network():
    inputs = [keras.Input((4, 6), name="static"), keras.Input((3, 5), name="dynamic")]
    flat = [keras.layers.Flatten()(tensor) for tensor in inputs]
    scores = keras.layers.Dense(5)(keras.layers.Concatenate()(flat))
    return keras.Model(inputs, scores, name="mine")


def measure(network, features, **options):
    return measure_attention(network, features, ROWS, **{"seed": 0, **options})


def log_sizes(call, sizes):
    """Return `call`; it adds the number of clips in its last argument to `sizes`."""

    def logged(*arguments, **settings):
        sizes.append(len(arguments[-1][0]))
        return call(*arguments, **settings)

    return logged


def test_sequences_are_measured_completely(write_set):
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


def test_the_times_of_the_steps_and_the_split_are_kept(write_set):
    seconds = np.tile(np.array([0.5, 1.5, 2.5, np.nan], dtype=np.float32), (NUM_CLIPS, 1))
    seconds[:, 2] += np.arange(NUM_CLIPS)
    mask = np.isfinite(seconds)
    features = write_set(dynamic_shape=(5,), static_mask=mask, seconds=seconds)
    network = build_network(static_masked=True, dynamic_steps=None)
    found = measure(network, features, split="training")
    assert found.split == "training"
    assert list(found.seconds) == ["static"]
    rows = [IDS.index(clip_id) for clip_id in found.clip_ids]
    expected = [0.5, 1.5, np.median(seconds[rows, 2]), np.nan]
    np.testing.assert_allclose(found.seconds["static"], expected)
    np.testing.assert_allclose(found.sample_seconds["static"], seconds[rows[:3]])


def test_large_inputs_are_measured_in_small_batches(write_set, monkeypatch):
    network, features = build_network(), write_set()
    expected, sizes = measure(network, features), []
    for place, name in ((network, "attention"), (attention, "infer")):
        monkeypatch.setattr(place, name, log_sizes(getattr(place, name), sizes))
    monkeypatch.setattr(batches, "BATCH_BYTES", 4 * 4 * (4 * 6 + 3 * 5))
    found = measure(network, features)
    assert set(sizes) == {4, 3}
    np.testing.assert_allclose(
        found.mean_maps["traits"], expected.mean_maps["traits"], rtol=1e-5, atol=1e-6
    )
    for name, curve in found.deletions["static"].movement.items():
        np.testing.assert_allclose(
            curve, expected.deletions["static"].movement[name], rtol=1e-4, atol=1e-6
        )


def test_the_scores_and_the_attention_are_traced_once_each(write_set, monkeypatch):
    network, features, traces = build_network(), write_set(), []
    call = TraitAttention.call

    @functools.wraps(call)  # Keras reads the names of the arguments
    def counted(layer, *arguments, **settings):
        traces.append(layer)
        return call(layer, *arguments, **settings)

    monkeypatch.setattr(TraitAttention, "call", counted)
    monkeypatch.setattr(batches, "BATCH_BYTES", 4 * 4 * (4 * 6 + 3 * 5))
    predict(network, features, ROWS[:2])
    network.attention(inputs_of(features, ROWS[:3]))
    measure(network, features)
    assert len(traces) == 2


def test_sample_maps_are_those_of_the_sample_clips(write_set):
    network, features = build_network(), write_set()
    found = measure(network, features)
    row = features.clip_ids.tolist().index(found.sample_ids[1])
    assert row in ROWS
    inputs = inputs_of(features, [row])
    expected = network.attention(inputs)["traits"][0]
    np.testing.assert_allclose(found.sample_maps["traits"][1], expected, rtol=1e-4)


def test_the_seed_selects_the_sample_of_many_clips(write_set):
    network, features = build_network(), write_set()
    first, again, other = (measure(network, features, max_clips=6, seed=s) for s in (0, 0, 1))
    assert len(first.clip_ids) == 6
    assert set(first.clip_ids) <= set(features.clip_ids[ROWS])
    assert first.clip_ids == again.clip_ids != other.clip_ids


def test_curves_begin_at_the_scores_without_hidden_steps(write_set):
    network, features = build_network(), write_set()
    found = measure(network, features).deletions["static"]
    scores = network.predict_on_batch(inputs_of(features, ROWS))
    expected = np.abs(scores - features.labels[ROWS]).mean()
    for curve in found.error.values():
        np.testing.assert_allclose(curve[:, 0], expected, rtol=1e-5)
    assert all((curve[:, 0] == 0).all() for curve in found.movement.values())


def test_hidden_frames_are_replaced_by_the_training_mean(write_set):
    network, features = build_network(), write_set()
    moments = {name: feature_moments(each, np.arange(5)) for name, each in features.streams.items()}
    network.adapt(moments)
    static_mean, _ = moments["static"]
    found = measure(network, features).deletions["static"]
    hidden = np.broadcast_to(static_mean, (len(ROWS), 4, 6)).astype(np.float32)
    dynamic = features.streams["dynamic"].read(ROWS)
    before = network.predict_on_batch([features.streams["static"].read(ROWS), dynamic])
    after = network.predict_on_batch([hidden, dynamic])
    assert "mean of the training clips" in found.hidden_by
    expected = np.abs(after - before).mean()
    assert found.movement["random"][:, -1] == pytest.approx([expected] * 5, rel=1e-3)


def test_hidden_frames_are_masked_if_the_model_has_a_mask(write_set):
    mask = np.ones((NUM_CLIPS, 4), np.bool_)
    mask[::2, 2:] = False
    network, features = build_network(static_masked=True), write_set(static_mask=mask)
    found = measure(network, features).deletions["static"]
    assert "mask" in found.hidden_by
    inputs = inputs_of(features, ROWS)
    before = network.predict_on_batch([*inputs, mask[ROWS].astype(np.float32)])
    after = network.predict_on_batch([*inputs, np.zeros((len(ROWS), 4), np.float32)])
    expected = np.abs(after - before).mean()
    assert found.movement["random"][0, -1] == pytest.approx(expected, rel=1e-3)


def test_learned_tokens_are_not_hidden(write_set):
    found = measure(build_network(static_steps=None), write_set(static_shape=(6,)))
    assert found.key_kinds["static"] == "learned tokens"
    assert list(found.deletions) == ["dynamic"]
    assert "static stream" in found.missing["static"]


@pytest.mark.parametrize(
    ("fusion", "maps", "streams"),
    [
        ("late", ["static/traits", "dynamic/traits"], ["static", "dynamic"]),
        ("dynamic_only", ["traits"], ["dynamic"]),
    ],
)
def test_fusions_without_blocks_have_one_ranking(write_set, fusion, maps, streams):
    found = measure(build_network(fusion=fusion), write_set())
    assert list(found.mean_maps) == maps
    assert list(found.deletions) == streams
    assert all(curves.rankings == ("traits",) for curves in found.deletions.values())


@pytest.mark.parametrize(
    ("build", "rows", "reason"),
    [
        (lambda: build_network(fusion="concat"), ROWS, "fusion='concat' has no attention"),
        (other_network, ROWS, "mine was not built by this pipeline"),
        (build_network, ROWS[:0], "no clips"),
    ],
)
def test_a_missing_measurement_has_its_reason(write_set, build, rows, reason):
    found = measure_attention(build(), write_set(), rows, seed=0)
    assert found.mean_maps == {}
    assert reason in found.missing[WHOLE]


def test_features_of_another_shape_are_an_error(write_set):
    with pytest.raises(ModelError, match="but the model needs"):
        measure(build_network(static_steps=5), write_set())


def test_movement_is_measured_without_labels(write_set):
    found = measure(build_network(), write_set(labels=None))
    assert found.deletions["static"].error == {}
    assert found.deletions["static"].area("random") > 0


def test_table_weights_add_up_to_one_and_are_in_the_order_of_the_clips(write_set, monkeypatch):
    network, features = build_network(), write_set()
    expected, sizes = attention_table(network, features, TRAITS), []
    assert list(expected.columns) == ["clip_id", "trait", "stream", "step", "weight"]
    sums = expected.groupby(["clip_id", "trait"])["weight"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    assert expected["clip_id"].unique().tolist() == IDS
    first = expected[: 5 * (4 + 3)]
    assert set(first["clip_id"]) == {IDS[0]}
    assert first["stream"].tolist() == ["static"] * 20 + ["dynamic"] * 15
    assert first["trait"][:4].tolist() == ["openness"] * 4
    monkeypatch.setattr(network, "attention", log_sizes(network.attention, sizes))
    monkeypatch.setattr(batches, "BATCH_BYTES", 9 * 4 * (4 * 6 + 3 * 5))
    pd.testing.assert_frame_equal(attention_table(network, features, TRAITS), expected, atol=1e-6)
    assert sizes == [9, 9, 2]


def test_table_weights_equal_the_attention_of_the_model(write_set):
    network, features = build_network(), write_set()
    weights = network.attention(inputs_of(features, [1]))
    row = attention_table(network, features, TRAITS).query(
        f"clip_id == '{IDS[1]}' and trait == 'extraversion' and stream == 'dynamic' and step == 2"
    )
    expected = weights["traits"][0, :, TRAITS.index("extraversion"), 4 + 2].mean()
    assert row["weight"].to_list() == [pytest.approx(expected)]


def test_the_table_has_times_and_no_padding(write_set):
    seconds = np.tile(np.array([0, 1, 2, 3], np.float32), (NUM_CLIPS, 1))
    seconds[1] = [0.5, np.nan, 2.5, 3.5]
    mask = np.ones((NUM_CLIPS, 4), np.bool_)
    mask[1, 2] = False
    features = write_set(dynamic_shape=(4, 5), static_mask=mask, seconds=seconds)
    network = build_network(static_masked=True, dynamic_steps=4)
    table = attention_table(network, features, TRAITS)
    assert isinstance(table.index, pd.RangeIndex)
    second = table.query(f"clip_id == '{IDS[1]}' and trait == 'openness'")
    times = {name: part["seconds"].to_list() for name, part in second.groupby("stream")}
    np.testing.assert_equal(times, {"static": [0.5, np.nan, 3.5], "dynamic": seconds[1].tolist()})


def test_without_masks_all_steps_are_in_the_table(write_set, tmp_path):
    network, features = build_network(static_masked=True), write_set()
    check_explainable(network, features)
    found = attention_table(network, features, TRAITS)
    np.save(tmp_path / "features" / "static_mask.npy", np.ones((NUM_CLIPS, 4), dtype=bool))
    masked = load_feature_set(tmp_path / "features")
    pd.testing.assert_frame_equal(found, attention_table(network, masked, TRAITS))


def test_learned_tokens_are_not_in_the_table(write_set):
    features = write_set(static_shape=(6,))
    assert set(attention_table(build_network(static_steps=None), features, TRAITS)["stream"]) == {
        "dynamic"
    }


@pytest.mark.parametrize(
    ("shapes", "build", "message"),
    [
        (
            {"static_shape": (6,), "dynamic_shape": (5,)},
            lambda: build_network(static_steps=None, dynamic_steps=None),
            "no steps to explain.*leave --explain out",
        ),
        ({}, lambda: build_network(fusion="concat"), "Choose one of cross_attention"),
        ({}, other_network, "has no attention"),
    ],
)
def test_a_model_without_attention_over_steps_cannot_be_explained(
    write_set, shapes, build, message
):
    with pytest.raises(ModelError, match=message):
        check_explainable(build(), write_set(**shapes))


LACKS_AUDIO = np.arange(NUM_CLIPS) % 4 == 0


@pytest.fixture
def three_streams(tmp_path):
    """A set of 20 clips with a third stream that every fourth clip lacks, and a model for it."""
    rng = np.random.default_rng(0)
    mask = np.repeat(~LACKS_AUDIO[:, None], 2, axis=1)
    write_feature_set(
        tmp_path / "three",
        streams={
            "static": StreamValues(values=rng.normal(size=(NUM_CLIPS, 4, 6))),
            "pose": StreamValues(values=rng.normal(size=(NUM_CLIPS, 5))),
            "audio": StreamValues(
                values=rng.normal(size=(NUM_CLIPS, 2, 3)),
                mask=mask,
                seconds=np.tile([0.5, 1.5], (NUM_CLIPS, 1)),
            ),
        },
        labels=rng.uniform(size=(NUM_CLIPS, 5)),
        clips=pd.DataFrame({"clip_id": IDS, "group": IDS}),
    )
    keras.utils.set_random_seed(0)
    network = PersonalityModel(
        {
            "static": StreamSpec(width=6, num_steps=4),
            "pose": StreamSpec(width=5),
            "audio": StreamSpec(width=3, num_steps=2, masked=True, can_be_absent=True),
        },
        fusion_dim=8,
        num_heads=2,
        num_tokens=3,
    )
    return network, load_feature_set(tmp_path / "three")


def test_attention_is_measured_for_every_stream(three_streams):
    found = measure_attention(*three_streams, ROWS, seed=0)
    kinds = {"static": "face frames", "pose": "learned tokens", "audio": "audio steps"}
    assert found.key_kinds == kinds
    assert set(found.mean_maps) == {
        "block_1/static_to_pose+audio",
        "block_1/pose_to_static+audio",
        "block_1/audio_to_static+pose",
        "traits",
    }
    assert set(found.deletions) == {"static", "audio"}
    assert found.deletions["audio"].num_clips == (~LACKS_AUDIO[ROWS]).sum()
    assert found.deletions["static"].num_clips == len(ROWS)
    total = np.sum([*found.trait_share.values()], axis=0)  # learned tokens are included
    np.testing.assert_allclose(total, 1, atol=1e-5)
    for values in (*found.trait_attention.values(), *found.mean_maps.values()):
        assert np.isfinite(values).all()
    for values in found.entropy.values():
        assert (np.nan_to_num(values) <= 1).all()
    samples = dict(zip(found.sample_ids, found.sample_trait_attention["audio"], strict=True))
    for clip_id, weights in samples.items():
        assert np.isnan(weights).all() == LACKS_AUDIO[IDS.index(clip_id)]


def test_a_clip_has_no_rows_for_a_stream_that_it_lacks(three_streams):
    table = attention_table(*three_streams, TRAITS)
    audio = table[table["stream"] == "audio"]
    expected = [clip_id for clip_id, lacks in zip(IDS, LACKS_AUDIO, strict=True) if not lacks]
    assert audio["clip_id"].unique().tolist() == expected
    assert set(audio["seconds"]) == {0.5, 1.5}
    assert table.loc[table["stream"] == "static", "seconds"].isna().all()
    assert set(table["stream"]) == {"static", "audio"}


def test_a_stream_that_all_measured_clips_lack_has_no_curves(three_streams):
    found = measure_attention(*three_streams, np.flatnonzero(LACKS_AUDIO), seed=0)
    assert "lack the audio stream" in found.missing["audio"]
    assert set(found.deletions) == {"static"}
