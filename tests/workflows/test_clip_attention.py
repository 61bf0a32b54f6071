import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import load_feature_set

pytestmark = pytest.mark.slow


@pytest.fixture
def make_set(tmp_path):
    """Return a function that makes a feature set of two clips and opens it."""

    def make(**arrays):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        return load_feature_set(tmp_path)

    return make


def make_network(features, **settings):
    from pipeline.config.schema import ModelConfig
    from pipeline.models.build import StreamSpec, build_model

    static, dynamic = (
        StreamSpec(width=stream.width, num_steps=stream.num_steps, masked=stream.has_mask)
        for stream in (features.static, features.dynamic)
    )
    config = ModelConfig(fusion_dim=8, num_heads=2, num_tokens=3, **settings)
    return build_model(config, static=static, dynamic=dynamic)


def tabulate(network, features):
    from pipeline.workflows.clip_attention import attention_table

    return attention_table(network, features)


def refuse(network, features):
    from pipeline.workflows.clip_attention import refuse_unexplainable

    refuse_unexplainable(network, features)


def steps(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_the_weights_of_a_clip_and_trait_add_up_to_one(make_set):
    features = make_set(static=steps(200, 4, 3), dynamic=steps(200, 5, 2))
    table = tabulate(make_network(features), features)
    assert len(table) == 200 * 5 * (4 + 5)
    sums = table.groupby(["clip_id", "trait"])["weight"].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_weight_is_the_one_that_the_model_gives(make_set):
    features = make_set(static=steps(2, 4, 3), dynamic=steps(2, 5, 2))
    network = make_network(features)
    weights = network.attention([features.static.read([0, 1]), features.dynamic.read([0, 1])])
    row = tabulate(network, features).query(
        "clip_id == 'row-000001' and trait == 'extraversion' and stream == 'dynamic' and step == 3"
    )
    expected = weights["traits"][1, :, TRAITS.index("extraversion"), 4 + 3].mean()
    assert row["weight"].to_list() == [pytest.approx(expected)]


def test_clips_with_large_inputs_are_looked_at_a_few_at_a_time(make_set, monkeypatch):
    from pipeline.data import batches

    features = make_set(static=steps(7, 4, 3), dynamic=steps(7, 5, 2))
    network = make_network(features)
    expected, attention, sizes = tabulate(network, features), network.attention, []

    def watched(inputs, **settings):
        sizes.append(len(inputs[0]))
        return attention(inputs, **settings)

    monkeypatch.setattr(network, "attention", watched)
    monkeypatch.setattr(batches, "BATCH_BYTES", 3 * 4 * (4 * 3 + 5 * 2))
    pd.testing.assert_frame_equal(tabulate(network, features), expected, atol=1e-6)
    assert sizes == [3, 3, 1]


def test_steps_that_are_padding_are_left_out(make_set):
    mask = np.array([[True, True, True, True], [True, False, False, False]])
    features = make_set(static=steps(2, 4, 3), dynamic=steps(2, 5, 2), static_mask=mask)
    table = tabulate(make_network(features), features)
    second = table[(table["clip_id"] == "row-000001") & (table["stream"] == "static")]
    assert set(second["step"]) == {0}
    assert isinstance(table.index, pd.RangeIndex)


def test_a_step_has_its_time_where_the_features_say_it(make_set):
    seconds = np.array([[0, 1, 2, 3], [0.5, np.nan, 2.5, 3.5]], np.float32)
    mask = np.array([[True] * 4, [True, True, False, True]])
    features = make_set(
        static=steps(2, 4, 3), dynamic=steps(2, 4, 2), static_mask=mask, seconds=seconds
    )
    table = tabulate(make_network(features), features)
    assert list(table.columns) == ["clip_id", "trait", "stream", "step", "seconds", "weight"]
    second = table.query("clip_id == 'row-000001' and trait == 'openness'")
    times = {name: part["seconds"].to_list() for name, part in second.groupby("stream")}
    np.testing.assert_equal(times, {"static": [0.5, np.nan, 3.5], "dynamic": seconds[1].tolist()})


def test_without_times_there_is_no_column_of_them(make_set):
    features = make_set(static=steps(2, 4, 3), dynamic=steps(2, 4, 2))
    assert "seconds" not in tabulate(make_network(features), features)


def test_the_clips_are_in_the_order_of_the_features(make_set, tmp_path):
    ids = [f"clip-{199 - row}" for row in range(200)]  # neither by name nor by number
    pd.DataFrame({"clip_id": ids, "group": ids}).to_csv(tmp_path / "clips.csv", index=False)
    features = make_set(static=steps(200, 4, 3), dynamic=steps(200, 5, 2))
    table = tabulate(make_network(features), features)
    assert table["clip_id"].unique().tolist() == ids
    assert table["clip_id"].ne(table["clip_id"].shift()).sum() == 200
    first = table[table["clip_id"] == ids[0]]
    assert first["stream"].tolist() == ["static"] * 20 + ["dynamic"] * 25
    assert first["trait"][:4].tolist() == ["openness"] * 4


def test_without_masks_every_step_is_looked_at_by_a_model_that_takes_them(make_set):
    features = make_set(static=steps(2, 4, 3), dynamic=steps(2, 5, 2))
    masked = make_set(static_mask=np.ones((2, 4), dtype=bool))
    network = make_network(masked)
    refuse(network, features)
    pd.testing.assert_frame_equal(tabulate(network, features), tabulate(network, masked))


def test_learned_tokens_are_no_steps(make_set):
    features = make_set(static=steps(2, 3), dynamic=steps(2, 5, 2))
    assert set(tabulate(make_network(features), features)["stream"]) == {"dynamic"}


def test_vectors_alone_have_no_steps_to_look_at(make_set):
    features = make_set(static=steps(2, 3), dynamic=steps(2, 5))
    with pytest.raises(ModelError, match=r"no steps to look at.*leave --explain out"):
        refuse(make_network(features), features)


def test_a_fusion_without_attention_is_refused_with_those_that_have_it(make_set):
    features = make_set(static=steps(2, 4, 3), dynamic=steps(2, 5, 2))
    with pytest.raises(ModelError, match="has no attention to show; these have: cross_attention"):
        refuse(make_network(features, fusion="concat"), features)


def test_a_model_of_another_kind_is_refused(make_set):
    import keras

    features = make_set(static=steps(2, 4, 3), dynamic=steps(2, 5, 2))
    inputs = [keras.Input((4, 3)), keras.Input((5, 2))]
    with pytest.raises(ModelError, match="it has no attention"):
        refuse(keras.Model(inputs, inputs[0]), features)
