"""Masks of the tokens to which a model attends.

Shapes: N clips, T steps of a stream or learned tokens.
"""

import keras
import numpy as np

from pipeline.core.arrays import BoolArray


def absent_streams(network: keras.Model) -> tuple[str, ...]:
    """Return the streams that a clip may lack: a learned token then represents the stream."""
    layers = [inner for layer in network.layers for inner in (layer, *getattr(layer, "layers", ()))]
    names = {layer.name for layer in layers}
    streams = getattr(network, "attention_keys", {})
    return tuple(stream for stream in streams if f"{stream}_absent" in names)


def token_mask(network: keras.Model, stream: str, step_mask: BoolArray) -> BoolArray:
    """Return the mask of the valid tokens of a stream, shape (N, T).

    Args:
        network: Model with attention.
        stream: Name of the stream.
        step_mask: True for valid steps, shape (N, T); or True for clips that have the stream,
            shape (N, 1), if the stream has one vector per clip.
    """
    num_tokens = network.attention_keys[stream]
    mask: BoolArray = np.array(np.broadcast_to(step_mask, (len(step_mask), num_tokens)))
    if stream in absent_streams(network):
        mask[~mask.any(axis=1), 0] = True  # the learned token replaces the first token
    return mask
