"""Common checks of all layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.core.seeds import generator


def check_layer(
    layer_class: type[keras.layers.Layer],
    arguments: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    output_shape: Any,
    num_trainable: int,
    num_frozen: int = 0,
    tmp_path: Path,
) -> None:
    """Check the configuration, shapes, weights, one training step and the saved copy of a layer.

    An input is an array, or a list of arrays.

    `num_trainable` weights must change in one step, and `num_frozen` weights must not.
    """
    layer = layer_class(**arguments, name="under_test")
    config = layer.get_config()
    assert {name: config[name] for name in arguments} == dict(arguments)
    assert layer_class.from_config(config).get_config() == config
    symbols = keras.tree.map_structure(
        lambda values: keras.Input(values.shape[1:], dtype=values.dtype.name), dict(inputs)
    )
    model = keras.Model(keras.tree.flatten(symbols), layer(**symbols))
    values = keras.tree.flatten(dict(inputs))
    outputs = model(values)
    assert keras.tree.map_structure(lambda x: tuple(x.shape), outputs) == output_shape
    assert len(layer.trainable_weights) == num_trainable
    assert len(layer.non_trainable_weights) == num_frozen
    assert _num_changed_by_a_step(model, layer, values) == num_trainable
    model.save(tmp_path / "layer.keras")
    copy = keras.saving.load_model(tmp_path / "layer.keras", compile=False)
    pairs = [keras.tree.flatten(each.predict(values, verbose=0)) for each in (model, copy)]
    for before, after in zip(*pairs, strict=True):
        np.testing.assert_array_equal(before, after)


def _num_changed_by_a_step(
    model: keras.Model, layer: keras.layers.Layer, values: list[np.ndarray]
) -> int:
    rng = generator(0, "targets")
    targets = [rng.normal(size=(len(values[0]), *output.shape[1:])) for output in model.outputs]
    before = layer.get_weights()
    if model.trainable_weights:
        model.compile(keras.optimizers.SGD(0.1), loss=["mse"] * len(targets))
        model.fit(values, targets, verbose=0)
    pairs = zip(before, layer.get_weights(), strict=True)
    return sum(not np.array_equal(old, new) for old, new in pairs)
