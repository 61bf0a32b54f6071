"""Check the inputs of a request to a served model.

Legend: N clips, T time steps, D features.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from pipeline.core.arrays import FloatArray
from pipeline.core.stream_names import MASK_ENDING


class RequestError(MlflowException):
    """The request is invalid. The server answers with HTTP status 400 and a message of one line."""

    def __init__(self, reason: str) -> None:
        self._line = f"These clips cannot be scored: {reason}."
        super().__init__(self._line, error_code=BAD_REQUEST)

    def serialize_as_json(self) -> str:
        """Return the answer as JSON, without the request, which MLflow adds to the message."""
        self.message = self._line
        return str(super().serialize_as_json())


def read_inputs(
    tensors: Sequence[Any], request: Any, *, absent_streams: Collection[str] = ()
) -> list[FloatArray]:
    """Check the arrays of a request. Return them as float32, in the order of the model inputs.

    Args:
        tensors: Inputs of the model, each with a `name` and a `shape` (None, ...).
        request: Named arrays of shape (N, D), (N, T, D) or (N, T), as a mapping or as columns of
            a table. Masks contain 0 and 1. Without a mask, all time steps are valid.
        absent_streams: Names of the streams that a clip may lack. The mask is then 0. A request
            may leave out such a stream for all clips.

    Raises:
        RequestError: If an input is missing, unknown or invalid.
    """
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in tensors}
    arrays = _check_names(request, shapes, absent_streams)
    values = {name: _check_array(name, each, shapes[name]) for name, each in arrays.items()}
    sizes = {len(each) for each in values.values()}
    if len(sizes) > 1:
        raise RequestError(f"the inputs have {sorted(sizes)} rows; write one row per clip")
    num_clips = sizes.pop()
    if num_clips == 0:
        raise RequestError("there are no clips; write at least one row")
    for name in absent_streams:
        if name not in values:
            for each in (name, f"{name}{MASK_ENDING}"):
                values[each] = np.zeros((num_clips, *shapes[each]), np.float32)
    _check_valid_steps(values, shapes, absent_streams)
    return [
        values[name] if name in values else np.ones((num_clips, *shape), np.float32)
        for name, shape in shapes.items()
    ]


def check_distances(network: Any, inputs: Sequence[FloatArray]) -> None:
    """Check that no feature is extremely far from the training features.

    Only the inputs that the model standardizes are checked. `inputs` comes from `read_inputs`.

    Raises:
        RequestError: If a feature is too far from the training features.
    """
    from pipeline.models.standardize import FAR, standardize_layers

    by_name = {tensor.name: each for tensor, each in zip(network.inputs, inputs, strict=True)}
    for name, layer in standardize_layers(network).items():
        mask = by_name.get(f"{name}{MASK_ENDING}")
        is_far = layer.is_far(by_name[name], None if mask is None else mask > 0)
        if is_far.any():
            raise RequestError(
                f"{name} of row {int(is_far.argmax())} is {FAR:g} standard deviations or more "
                "from the training clips"
            )


def _check_names(
    request: Any, shapes: Mapping[str, tuple[int, ...]], absent_streams: Collection[str]
) -> dict[str, Any]:
    optional = {name for name in shapes if name.endswith(MASK_ENDING) or name in absent_streams}
    if isinstance(request, pd.DataFrame):
        request = {str(name): column.to_list() for name, column in request.items()}
    expected = "the inputs must be " + "; ".join(
        f"{name} {_rows(shape)}{', optional' if name in optional else ''}"
        for name, shape in shapes.items()
    )
    if not isinstance(request, Mapping):
        raise RequestError(f"the inputs have no names; {expected}")
    for name in request:
        if name not in shapes:
            raise RequestError(f"the model has no input {str(name)[:80]!r}; {expected}")
    for name in shapes:
        if name not in request and name not in optional:
            raise RequestError(f"{name} is missing; {expected}")
    if not any(name in request for name in shapes if not name.endswith(MASK_ENDING)):
        raise RequestError(f"there is no stream; {expected}")
    return dict(request)


def _check_array(name: str, given: Any, shape: tuple[int, ...]) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # an overflow gives infinity, which is rejected below
            values = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:  # OverflowError: a very large integer
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"{name} must contain numbers in rows of one shape ({reason})") from (
            error
        )
    if values.shape[1:] != shape or values.ndim == 0:
        raise RequestError(f"{name} must have shape {_rows(shape)}, but has {values.shape}")
    if not np.isfinite(values).all():
        raise RequestError(f"{name} contains a value that is not finite in float32")
    if name.endswith(MASK_ENDING):
        odd = values[(values != 0) & (values != 1)]
        if odd.size:
            raise RequestError(f"{name} contains {odd[0]:g}; write 1 for valid steps, else 0")
    return values


def _check_valid_steps(
    values: Mapping[str, FloatArray],
    shapes: Mapping[str, tuple[int, ...]],
    absent_streams: Collection[str],
) -> None:
    is_empty = {
        name.removesuffix(MASK_ENDING): ~mask.any(axis=1)
        for name, mask in values.items()
        if name.endswith(MASK_ENDING)
    }
    for stream, empty in is_empty.items():
        if stream not in absent_streams and empty.any():
            raise RequestError(
                f"{stream}{MASK_ENDING} has no valid step in row {empty.argmax()}; remove that clip"
            )
    streams = [name for name in shapes if not name.endswith(MASK_ENDING)]
    if all(stream in is_empty for stream in streams):
        lost = np.logical_and.reduce([*is_empty.values()])
        if lost.any():
            raise RequestError(f"row {lost.argmax()} has no stream; remove that clip")


def _rows(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['clips', *map(str, shape)])})"
