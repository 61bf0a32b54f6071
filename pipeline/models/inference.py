"""Compute the outputs of a model, with one trace of its graph for all batch sizes.

Shapes: N clips.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np


def infer(
    network: keras.Model,
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    batch_size: int | None = None,
) -> Any:
    """Return the outputs of a functional model for N clips, as NumPy arrays.

    The values equal those of `network.predict_on_batch` for the same batches. But Keras traces the
    graph again when the batch size changes, which takes longer than a batch of a small model. Here
    the number of clips is unknown in the trace. All later calls use the same trace.

    Args:
        network: Model with inputs whose first axis contains the clips.
        inputs: Arrays or tensors in the order of `network.inputs`, or a dict with their names.
        batch_size: Maximum number of clips per batch; None for a single batch.

    Returns:
        An array with N rows, or the structure of arrays that the model returns.
    """
    if isinstance(inputs, Mapping):
        inputs = [inputs[tensor.name] for tensor in network.inputs]
    num_clips = len(inputs[0])
    batch_size = batch_size or num_clips or 1
    if num_clips <= batch_size:
        return _infer_batch(network, inputs)
    # `network.predict` is not used: each call builds a data set, which is slow for a few clips.
    parts = []
    for begin in range(0, num_clips, batch_size):
        batch = [values[begin : begin + batch_size] for values in inputs]
        parts.append(_infer_batch(network, batch))
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _infer_batch(network: keras.Model, inputs: Sequence[Any]) -> Any:
    function = getattr(network, "inference_function", None)
    if function is None:
        # Because it is an attribute of the model, the trace is freed with the model.
        function = network.inference_function = _build_function(network)
    tensors = [
        keras.ops.convert_to_tensor(values, dtype=tensor.dtype)
        for values, tensor in zip(inputs, network.inputs, strict=True)
    ]
    return keras.tree.map_structure(keras.ops.convert_to_numpy, function(tensors))


def _build_function(network: keras.Model) -> Any:
    """Return a function of a list of tensors. Its first call traces the graph."""

    def step(inputs: list[Any]) -> Any:
        return network.predict_step((inputs,))

    # This is the only interface of Keras for a graph function with given input shapes. Nothing is
    # exported.
    return keras.export.ExportArchive().add_endpoint("step", step, input_signature=[network.inputs])
