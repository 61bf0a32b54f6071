import keras
import numpy as np
import pytest

from pipeline.config.schema import ModelConfig
from pipeline.core.run_log import RunLog, read_events
from pipeline.data.batches import inference_batches
from pipeline.metrics.attention_entropy import head_entropies
from pipeline.models import CompletePersonalityModel, StreamSpec, build_model
from pipeline.training.attention_entropy import AttentionEntropy, attention_callbacks

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


def attention_events(path):
    return [event.content for event in read_events(path) if event.kind == "attention"]


@pytest.fixture(scope="module")
def logged(laboratory, tmp_path_factory):
    """A fit with the callback."""
    run_dir = tmp_path_factory.mktemp("logged")
    network = build_network()
    inputs = next(iter(inference_batches(laboratory.features, np.arange(44, 60), batch_size=16)))
    callbacks = attention_callbacks(network, inputs, RunLog(run_dir / "events.jsonl"))
    return laboratory.fit(run_dir, network=network, callbacks=callbacks, num_epochs=NUM_EPOCHS)


def test_the_callback_does_not_change_the_training(laboratory, logged, tmp_path):
    alone = laboratory.fit(tmp_path / "alone", network=build_network(), num_epochs=NUM_EPOCHS)
    assert logged.weights == alone.weights
    assert logged.result.history.history == alone.result.history.history


def test_every_epoch_is_logged_by_map_and_head(logged):
    events = attention_events(logged.run.run_log_path)
    assert [event["epoch"] for event in events] == [1, 2]
    names = ["block_1/static_to_dynamic", "block_1/dynamic_to_static", "traits"]
    for event in events:
        assert list(event["entropy"]) == names
        for heads in event["entropy"].values():
            assert len(heads) == 2
            assert all(0 < value <= 1 for value in heads)


def test_the_entropy_of_a_head_is_the_mean_over_the_clips(run_log):
    network, inputs = build_network(), random_inputs(10)
    AttentionEntropy(network, inputs, run_log).on_epoch_end(6)
    masks = {"static": np.ones((10, 4), np.bool_), "dynamic": np.ones((10, 3), np.bool_)}
    expected = head_entropies(network.attention(inputs), masks)
    (event,) = attention_events(run_log.path)
    assert event["epoch"] == 7
    for name, entropy in expected.items():
        assert event["entropy"][name] == pytest.approx(entropy.mean(axis=0).tolist(), rel=1e-5)


def test_padding_is_ignored_and_a_single_real_step_gives_none(run_log):
    mask = np.zeros((8, 4), np.float32)
    mask[:, 0] = 1
    network = build_network(static_masked=True)
    AttentionEntropy(network, random_inputs(8, mask), run_log).on_epoch_end(0)
    (event,) = attention_events(run_log.path)
    assert event["entropy"]["block_1/dynamic_to_static"] == [None, None]
    assert all(value > 0 for value in event["entropy"]["traits"])


def test_a_model_with_encoders_is_logged(run_log):
    keras.utils.set_random_seed(0)
    images = StreamSpec(width=3, num_steps=4, image_size=(8, 8), masked=True)
    settings = ModelConfig(fusion_dim=8, num_heads=2, static_encoder="conv")
    network = build_model(settings, {"static": images, "dynamic": StreamSpec(width=5)})
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 4, 8, 8, 3), (6, 5))]
    (callback,) = attention_callbacks(network, [*inputs, np.ones((6, 4), np.float32)], run_log)
    callback.on_epoch_end(0)
    (event,) = attention_events(run_log.path)
    assert all(0 < value <= 1 for value in event["entropy"]["traits"])


def test_without_attention_or_clips_there_is_no_callback(run_log, laboratory):
    inputs = random_inputs(4)
    assert attention_callbacks(build_network(fusion="concat"), inputs, run_log) == []
    assert attention_callbacks(laboratory.network(), inputs, run_log) == []
    assert attention_callbacks(build_network(), [], run_log) == []
    assert attention_callbacks(build_network(), random_inputs(0), run_log) == []
