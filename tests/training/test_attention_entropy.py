import keras
import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.run_log import RunLog, read_events
from pipeline.data.batches import InferenceBatches
from pipeline.metrics.attention_entropy import head_entropies
from pipeline.models import CompletePersonalityModel
from pipeline.models.build import StreamSpec, build_model
from pipeline.training.attention_entropy import (
    MAX_CLIPS,
    AttentionEntropy,
    attention_callbacks,
)

pytestmark = pytest.mark.slow

NUM_EPOCHS = 2


def build_network(**changes):
    keras.utils.set_random_seed(0)
    settings = {"num_heads": 2, "dropout_rate": 0.25, "static_steps": 4, "num_tokens": 3}
    return CompletePersonalityModel(6, 5, 8, **{**settings, **changes})


def random_inputs(num_clips, *extra):
    rng = np.random.default_rng(0)
    shapes = ((num_clips, 4, 6), (num_clips, 5))
    return [*(rng.normal(size=shape).astype(np.float32) for shape in shapes), *extra]


@pytest.fixture
def run_log(tmp_path):
    return RunLog(tmp_path / "events.jsonl")


def told(run_log):
    return [event.content for event in read_events(run_log.path) if event.kind == "attention"]


@pytest.fixture(scope="module")
def inputs(laboratory):
    return next(iter(InferenceBatches(laboratory.features, np.arange(44, 60), batch_size=16)))


@pytest.fixture(scope="module")
def watched(laboratory, inputs, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("watched")
    network = build_network()
    callbacks = attention_callbacks(network, inputs, RunLog(run_dir / "events.jsonl"))
    return laboratory.fit(run_dir, network=network, callbacks=callbacks, num_epochs=NUM_EPOCHS)


def test_training_is_the_same_to_the_bit_with_and_without_it(laboratory, watched, tmp_path):
    alone = laboratory.fit(tmp_path / "alone", network=build_network(), num_epochs=NUM_EPOCHS)
    assert watched.weights == alone.weights
    assert watched.result.history.history == alone.result.history.history


def test_every_epoch_is_told_by_map_and_head(watched):
    events = told(RunLog(watched.run.run_log_path))
    assert [event["epoch"] for event in events] == [1, 2]
    for event in events:
        assert list(event["entropy"]) == [
            "block_1/static_to_dynamic",
            "block_1/dynamic_to_static",
            "traits",
        ]
        for heads in event["entropy"].values():
            assert len(heads) == 2
            assert all(0 < value <= 1 for value in heads)


def test_each_head_has_the_mean_over_the_clips(run_log):
    network, inputs = build_network(), random_inputs(10)
    AttentionEntropy(network, inputs, run_log).on_epoch_end(6)
    masks = {"static": np.ones((10, 4), np.bool_), "dynamic": np.ones((10, 3), np.bool_)}
    expected = head_entropies(network.attention(inputs), masks)
    (event,) = told(run_log)
    assert event["epoch"] == 7
    for name, entropy in expected.items():
        assert event["entropy"][name] == pytest.approx(entropy.mean(axis=0).tolist(), rel=1e-5)


def test_only_the_first_clips_are_looked_at(run_log):
    network, inputs = build_network(), random_inputs(MAX_CLIPS + 6)
    first = [array[:MAX_CLIPS] for array in inputs]
    AttentionEntropy(network, inputs, run_log).on_epoch_end(0)
    AttentionEntropy(network, first, run_log).on_epoch_end(0)
    of_all, of_first = told(run_log)
    assert of_all == of_first


def test_padding_does_not_count_and_a_single_real_step_is_no_choice(run_log):
    mask = np.zeros((8, 4), np.float32)
    mask[:, 0] = 1
    network = build_network(static_masked=True)
    AttentionEntropy(network, random_inputs(8, mask), run_log).on_epoch_end(0)
    (event,) = told(run_log)
    assert event["entropy"]["block_1/dynamic_to_static"] == [None, None]
    assert all(value > 0 for value in event["entropy"]["traits"])


def test_a_model_with_encoders_is_followed_too(run_log):
    keras.utils.set_random_seed(0)
    pictures = StreamSpec(width=3, num_steps=4, picture=(8, 8), masked=True)
    settings = ModelConfig(fusion_dim=8, num_heads=2, static_encoder="conv")
    network = build_model(settings, static=pictures, dynamic=StreamSpec(width=5))
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 4, 8, 8, 3), (6, 5))] + [
        np.ones((6, 4), np.float32)
    ]
    (callback,) = attention_callbacks(network, inputs, run_log)
    callback.on_epoch_end(0)
    (event,) = told(run_log)
    assert all(0 < value <= 1 for value in event["entropy"]["traits"])


def test_models_without_attention_are_left_alone(run_log, laboratory):
    inputs = random_inputs(4)
    assert attention_callbacks(build_network(fusion="concat"), inputs, run_log) == []
    assert attention_callbacks(laboratory.network(), inputs, run_log) == []


@pytest.mark.parametrize("inputs", [[], random_inputs(0)])
def test_nothing_is_followed_where_nothing_is_held_out(run_log, inputs):
    assert attention_callbacks(build_network(), inputs, run_log) == []
