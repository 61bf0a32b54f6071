"""Scaled dot-product attention whose weights can be read.

Shapes: B batch, Q queries, T keys, F fusion width, H heads.
"""

from typing import Any

from keras import ops

MASKED_SCORE = -1e9
"""Far below every score, yet finite, so that a clip without a single real step stays finite."""


def attend(query: Any, key: Any, value: Any, mask: Any, *, num_heads: int) -> tuple[Any, Any]:
    """Mix the values of the keys that each query matches.

    Args:
        query: Shape (B, Q, F), or (1, Q, F) where every clip asks the same.
        key: Shape (B, T, F).
        value: Shape (B, T, F).
        mask: True where a key is real, shape (B, T), or None where all are.
        num_heads: Number of heads H that F is shared out to.

    Returns:
        The mixed values, shape (B, Q, F), and the weights, shape (B, H, Q, T), float32. Each
        row of weights sums to 1; a masked key gets exactly 0, also where every key is masked.

    Reference: Vaswani et al., 2017 (arXiv:1706.03762), eq. 1.
    """
    query, key, value = (_split_heads(x, num_heads) for x in (query, key, value))
    scores = ops.matmul(query, ops.swapaxes(key, -1, -2)) / query.shape[-1] ** 0.5
    # Half precision would round the weights of a row away from a sum of 1.
    scores = ops.cast(scores, "float32")
    if mask is None:
        weights = ops.softmax(scores)
    else:
        real = mask[:, None, None, :]
        weights = ops.softmax(ops.where(real, scores, MASKED_SCORE))
        weights = ops.where(real, weights, 0.0)
    mixed = ops.matmul(ops.cast(weights, value.dtype), value)
    return _join_heads(mixed), weights


def _split_heads(x: Any, num_heads: int) -> Any:
    """(B, T, F) -> (B, H, T, F / H)."""
    x = ops.reshape(x, (-1, x.shape[1], num_heads, x.shape[2] // num_heads))
    return ops.transpose(x, (0, 2, 1, 3))


def _join_heads(x: Any) -> Any:
    """(B, H, T, F / H) -> (B, T, F)."""
    x = ops.transpose(x, (0, 2, 1, 3))
    return ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))
