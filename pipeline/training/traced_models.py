"""Trainable models whose traced functions are used by several fits.

Tracing the training step of a small model takes longer than its training. Fits of the same network
can share the traced functions, because the settings are variables, except those in `_constants`.
"""

from collections.abc import Hashable, Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.config.schema import TrainingConfig
from pipeline.core.arrays import FloatArray
from pipeline.training.instrumented_model import InstrumentedModel
from pipeline.training.losses import build_loss
from pipeline.training.optimizer import build_optimizer


class TracedModels:
    """Instrumented models of one network, one for each combination of constant settings.

    A fit with a new object traces its functions. A fit with the object of an earlier fit uses the
    functions of the earlier fit if the constant settings are equal.
    """

    def __init__(self) -> None:
        self._models: dict[Hashable, tuple[InstrumentedModel, list[FloatArray]]] = {}

    def prepare(
        self,
        network: keras.Model,
        config: TrainingConfig,
        *,
        trait_names: Sequence[str],
        steps_per_epoch: int,
    ) -> InstrumentedModel:
        """Return a compiled model with the settings of `config` and a new optimizer state."""
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        key = _constants(network, config, trait_names)
        if key not in self._models:
            model = _build(network, config, trait_names, steps_per_epoch=steps_per_epoch)
            state = [np.array(variable.numpy()) for variable in model.optimizer.variables]
            self._models[key] = model, state
            return model
        model, state = self._models[key]
        for variable, array in zip(model.optimizer.variables, state, strict=True):
            variable.assign(array)
        model.optimizer.configure(config, steps_per_epoch=steps_per_epoch)
        model.loss.configure(config.loss_weights, huber_delta=config.huber_delta)
        model.steps_per_execution = config.steps_per_execution
        return model


def _constants(
    network: keras.Model, config: TrainingConfig, trait_names: Sequence[str]
) -> Hashable:
    """Return the settings that are constants of the traced functions."""
    return (
        tuple(id(weight) for weight in network.trainable_weights),
        *(tuple(trait_names), tuple(config.loss_weights)),
        *(config.optimizer, config.schedule, config.gradient_clip_norm > 0, config.deterministic),
    )


def _build(
    network: keras.Model,
    config: TrainingConfig,
    trait_names: Sequence[str],
    *,
    steps_per_epoch: int,
) -> InstrumentedModel:
    model = InstrumentedModel(network, trait_names=trait_names)
    model.compile(
        optimizer=build_optimizer(config, steps_per_epoch=steps_per_epoch),
        loss=build_loss(config.loss_weights, huber_delta=config.huber_delta),
        steps_per_execution=config.steps_per_execution,
        # XLA makes small models slower, and prevents the measurement of single steps.
        jit_compile=False,
    )
    # If the optimizer is built before the first call, tracing takes half the time.
    model.optimizer.build(network.trainable_variables)
    return model
