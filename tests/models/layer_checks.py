"""What every layer of this project promises, checked in one call.

After `run_layer_test` of Keras: a layer is its configuration and its weights, nothing else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.core.seeds import generator


def check_layer(
    layer_class: type[keras.layers.Layer],
    arguments: Mapping[str, Any],
    inputs: Mapping[str, np.ndarray],
    *,
    output_shape: Any,
    num_trainable: int,
    num_frozen: int = 0,
    tmp_path: Path,
) -> None:
    """Check a layer's configuration, shapes, weights, one training step and its saved copy.

    Args:
        layer_class: The layer under test.
        arguments: Arguments of its constructor.
        inputs: Arguments of its call by name, batch first.
        output_shape: Shape of the output, or a tuple of shapes.
        num_trainable: How many weights must learn in one step.
        num_frozen: How many weights must never be trained.
        tmp_path: Where the saved copy goes.
    """
    _check_configuration(layer_class, arguments)
    layer = layer_class(**arguments, name="under_test")
    model = _model_around(layer, inputs)
    outputs = model(list(inputs.values()))
    assert keras.tree.map_structure(lambda x: tuple(x.shape), outputs) == output_shape
    assert len(layer.trainable_weights) == num_trainable
    assert len(layer.non_trainable_weights) == num_frozen
    assert _num_changed_by_a_step(model, layer, inputs) == num_trainable
    _check_saved_copy(model, inputs, tmp_path / "layer.keras")


def _check_configuration(
    layer_class: type[keras.layers.Layer], arguments: Mapping[str, Any]
) -> None:
    layer = layer_class(**arguments)
    config = layer.get_config()
    assert {name: config[name] for name in arguments} == dict(arguments)
    assert layer_class.from_config(config).get_config() == config
    revived = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(revived) is layer_class


def _model_around(layer: keras.layers.Layer, inputs: Mapping[str, np.ndarray]) -> keras.Model:
    symbols = {
        name: keras.Input(values.shape[1:], name=name, dtype=values.dtype.name)
        for name, values in inputs.items()
    }
    return keras.Model(list(symbols.values()), layer(**symbols))


def _num_changed_by_a_step(
    model: keras.Model, layer: keras.layers.Layer, inputs: Mapping[str, np.ndarray]
) -> int:
    values = list(inputs.values())
    rng = generator(0, "targets")
    targets = [rng.normal(size=(len(values[0]), *output.shape[1:])) for output in model.outputs]
    before = layer.get_weights()
    if model.trainable_weights:
        model.compile(keras.optimizers.SGD(0.1), loss=["mse"] * len(targets))
        model.fit(values, targets, verbose=0)
    pairs = zip(before, layer.get_weights(), strict=True)
    return sum(not np.array_equal(old, new) for old, new in pairs)


def _check_saved_copy(model: keras.Model, inputs: Mapping[str, np.ndarray], path: Path) -> None:
    model.save(path)
    copy = keras.saving.load_model(path, compile=False)
    values = list(inputs.values())
    for ours, theirs in zip(
        keras.tree.flatten(model.predict(values, verbose=0)),
        keras.tree.flatten(copy.predict(values, verbose=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
