"""What a request to a served model may hold, checked before the model sees it.

Legend: N clips, T steps, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from pipeline.core.arrays import FloatArray

MASK_ENDING: Final = "_mask"
"""Ends the name of an input that says which steps of a stream are there."""


class RequestError(MlflowException):
    """Why a request cannot be answered, in one line; a server answers with status 400."""

    def __init__(self, reason: str) -> None:
        self._line = f"These clips cannot be scored: {reason}."
        super().__init__(self._line, error_code=BAD_REQUEST)

    def serialize_as_json(self) -> str:
        """Return the answer of a server."""
        # On its way to here the server puts the whole request, arrays and all, before it.
        self.message = self._line
        return str(super().serialize_as_json())


def read_inputs(tensors: Sequence[Any], request: Any) -> list[FloatArray]:
    """Return the inputs of a model as float32, in its order, once they are what it takes.

    Args:
        tensors: The inputs of the model, each with a `name` and a `shape` (None, ...).
        request: Arrays of shape (N, D), (N, T, D) or (N, T) by those names, as a mapping or as
            the columns of a table. A mask, of 0 and 1, may be left out: every step is there then.

    Raises:
        RequestError: Naming the input and what is wrong with it.
    """
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in tensors}
    given = _by_name(request, shapes)
    values = {name: _readable(name, each, shapes[name]) for name, each in given.items()}
    sizes = {len(each) for each in values.values()}
    if len(sizes) > 1:
        raise RequestError(f"the inputs are of {sorted(sizes)} clips; give each as many rows")
    num_clips = sizes.pop()
    if num_clips == 0:
        raise RequestError("there are no clips; give at least one row")
    return [
        values[name] if name in values else np.ones((num_clips, *shape), np.float32)
        for name, shape in shapes.items()
    ]


def check_distances(network: Any, inputs: Sequence[FloatArray]) -> None:
    """Refuse features that have nothing to do with those that a model was trained on.

    Args:
        network: The model; features that it does not standardize itself are not looked at.
        inputs: Its inputs, as `read_inputs` returns them.

    Raises:
        RequestError: Naming the input and the first row.
    """
    from pipeline.models.standardize import FAR, standardize_layers  # Keras, which a server has

    by_name = {tensor.name: each for tensor, each in zip(network.inputs, inputs, strict=True)}
    for name, layer in standardize_layers(network).items():
        mask = by_name.get(f"{name}{MASK_ENDING}")
        is_far = layer.is_far(by_name[name], None if mask is None else mask > 0)
        if is_far.any():
            raise RequestError(
                f"{name} of row {int(is_far.argmax())} lies {FAR:g} standard deviations or more "
                "from the clips that the model was trained on"
            )


def _by_name(request: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the arrays of a request by name, all names known and none missing."""
    takes = "; ".join(_described(name, shape) for name, shape in shapes.items())
    if isinstance(request, pd.DataFrame):
        request = {str(name): column.to_list() for name, column in request.items()}
    if not isinstance(request, Mapping):
        raise RequestError(f"the inputs have no names; expected {takes}")
    for name in request:
        if name not in shapes:
            raise RequestError(f"the model takes no {str(name)[:80]!r}; expected {takes}")
    for name in shapes:
        if name not in request and not name.endswith(MASK_ENDING):
            raise RequestError(f"there is no {name}; expected {takes}")
    return dict(request)


def _readable(name: str, given: Any, shape: tuple[int, ...]) -> FloatArray:
    """Return one input as float32, shape (N, *shape)."""
    try:
        with np.errstate(over="ignore"):  # refused just below
            values = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:  # an integer beyond any float
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"{name} does not hold numbers in rows of one shape ({reason})") from (
            error
        )
    if values.shape[1:] != shape or values.ndim == 0:
        raise RequestError(f"{name} has the shape {values.shape}, expected {_rows(shape)}")
    if not np.isfinite(values).all():
        raise RequestError(f"{name} holds a value that is not a finite number, or is too large")
    if name.endswith(MASK_ENDING):
        _check_mask(name, values)
    return values


def _check_mask(name: str, values: FloatArray) -> None:
    odd = values[(values != 0) & (values != 1)]
    if odd.size:
        raise RequestError(f"{name} holds {odd[0]:g}; write 1 where a step is there, else 0")
    empty = np.flatnonzero(~values.any(axis=1))
    if empty.size:
        raise RequestError(f"{name} has no step at all in row {empty[0]}; leave that clip out")


def _described(name: str, shape: tuple[int, ...]) -> str:
    optional = ", optional" if name.endswith(MASK_ENDING) else ""
    return f"{name} {_rows(shape)}{optional}"


def _rows(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['clips', *map(str, shape)])})"
