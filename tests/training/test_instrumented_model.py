import time
from dataclasses import dataclass, field, replace

import keras
import numpy as np
import pytest

from pipeline.config.schema import TrainingConfig
from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import trait_metrics
from pipeline.training.instrumented_model import StepTrace
from pipeline.training.losses import build_loss
from pipeline.training.optimizer import build_optimizer
from pipeline.training.traced_models import TracedModels

NUM_EPOCHS = 2


@dataclass(kw_only=True)
class Measured:
    """Measurements of each epoch."""

    traces: list[StepTrace] = field(default_factory=list)
    moments: list[dict] = field(default_factory=list)
    validation_moments: list[dict] = field(default_factory=list)


def train(laboratory, network, config, *, validated=False, epochs=NUM_EPOCHS) -> Measured:
    """Train a network as `fit` does, and return the measurements."""
    training, validation = laboratory.training(), laboratory.validation()
    model = TracedModels().prepare(
        network, config, trait_names=TRAITS, steps_per_epoch=training.num_batches
    )
    callbacks = keras.callbacks.CallbackList(model=model)
    iterators = [iter(batches.dataset()) for batches in (training, validation)]
    measured = Measured()
    for _ in range(epochs):
        model.train_epoch(iterators[0], training.num_batches, callbacks)
        measured.traces.append(model.read_trace())
        measured.moments.append(model.moments.trait_metrics())
        if validated:
            model.validate(iterators[1], validation.num_batches, callbacks)
            measured.validation_moments.append(model.moments.trait_metrics())
    return measured


@pytest.fixture(scope="module")
def config():
    return TrainingConfig(num_epochs=NUM_EPOCHS, loss="mae", learning_rate=1e-2)


@pytest.fixture(scope="module", params=[1, 2], ids="{}_steps_per_execution".format)
def measured(request, laboratory, config):
    """A network after two epochs without dropout, and its measurements."""
    network = laboratory.network(dropout_rate=0.0)
    config = replace(config, steps_per_execution=request.param)
    return train(laboratory, network, config, validated=True), network


@pytest.fixture(scope="module")
def replayed(laboratory, config):
    """Loss, MAE, MSE and rate of each step, computed batch by batch in NumPy."""
    network = laboratory.network(dropout_rate=0.0)
    optimizer = build_optimizer(config, steps_per_epoch=3)
    network.compile(optimizer=optimizer, loss="mae", jit_compile=False)
    batches = laboratory.training()
    epochs = []
    for epoch in range(NUM_EPOCHS):
        steps = []
        for inputs, labels in batches.dataset(first_epoch=epoch).take(batches.num_batches):
            error = labels.numpy().astype(np.float64) - np.asarray(network(inputs))
            rate = float(optimizer.learning_rate)
            steps.append((np.abs(error).mean(), (error**2).mean(), rate, len(error)))
            network.train_on_batch(inputs, labels)
        epochs.append(np.array(steps))
    return epochs


class TestTrace:
    def test_every_step_has_its_own_values(self, measured, replayed):
        for trace, steps in zip(measured[0].traces, replayed, strict=True):
            np.testing.assert_allclose(trace.loss, steps[:, 0], rtol=1e-5)
            np.testing.assert_allclose(trace.mae, steps[:, 0], rtol=1e-5)
            np.testing.assert_allclose(trace.mse, steps[:, 1], rtol=1e-5)

    def test_every_step_has_its_learning_rate(self, measured, replayed):
        for trace, steps in zip(measured[0].traces, replayed, strict=True):
            np.testing.assert_allclose(trace.learning_rate, steps[:, 2], rtol=1e-6)
        assert len({rate for trace in measured[0].traces for rate in trace.learning_rate}) == 6

    def test_steps_are_in_order(self, measured):
        times = np.concatenate(
            [np.stack([trace.begin, trace.end], axis=1).ravel() for trace in measured[0].traces]
        )
        assert (np.diff(times) >= 0).all()
        assert time.time() - 600 < times[0] < times[-1] < time.time()
        for trace in measured[0].traces:
            assert (trace.end > trace.begin).all()


class TestMoments:
    def test_training_scores_are_over_all_clips_of_the_epoch(self, measured, replayed):
        for scores, steps in zip(measured[0].moments, replayed, strict=True):
            mae, mse = np.average(steps[:, :2], axis=0, weights=steps[:, 3])
            assert scores["mae"]["mean"] == pytest.approx(mae, rel=1e-5)
            assert scores["mse"]["mean"] == pytest.approx(mse, rel=1e-5)

    def test_validation_scores_equal_the_numpy_metrics(self, measured, laboratory):
        values, network = measured
        ((inputs, labels),) = laboratory.validation().dataset().take(1)
        expected = trait_metrics(
            labels.numpy(), network.predict(inputs, verbose=0), trait_names=TRAITS
        )
        for metric, traits in expected.items():
            assert values.validation_moments[-1][metric] == pytest.approx(traits, rel=1e-5)


def test_the_work_of_a_step_is_between_its_begin_and_end(laboratory, config):
    class Heavy(keras.layers.Layer):
        """Multiply large matrices without a visible effect on the scores."""

        def call(self, scores):
            large = keras.ops.ones((1500, 1500)) * keras.ops.mean(keras.ops.stop_gradient(scores))
            return scores + 1e-20 * keras.ops.mean(keras.ops.matmul(large, large))

    small = laboratory.network(dropout_rate=0.0)
    network = keras.Model(small.inputs, Heavy()(small.outputs[0]))
    (trace,) = train(laboratory, network, config, epochs=1).traces
    assert (trace.end - trace.begin).sum() > 2 * (trace.begin[1:] - trace.end[:-1]).sum()


@pytest.mark.parametrize("loss", ["mae", "huber", {"mse": 0.5, "ccc": 2.0}], ids=str)
def test_the_weights_equal_those_of_keras_fit(laboratory, config, loss):
    config = replace(config, gradient_clip_norm=0.5, weight_decay=0.05, loss=loss)
    measured, expected = (laboratory.network(dropout_rate=0.3) for _ in range(2))
    train(laboratory, measured, config)
    expected.compile(
        optimizer=build_optimizer(config, steps_per_epoch=3),
        loss=build_loss(config.loss_weights, huber_delta=config.huber_delta),
        jit_compile=False,
    )
    expected.fit(
        laboratory.training().dataset(),
        epochs=NUM_EPOCHS,
        steps_per_epoch=3,
        shuffle=False,
        verbose=0,
    )
    for ours, theirs in zip(measured.variables, expected.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
