"""Read JSON files as dataclasses, and check their content."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pydantic

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import RunError
from pipeline.core.files import read_json

Record = TypeVar("Record")


def check_content(form: type[Record] | Any, content: Any) -> Any:
    """Convert parsed JSON or YAML to the type `form`: a dataclass or another type for pydantic.

    Raises:
        RunError: If the content is not valid. The message does not name the file.
    """
    try:
        return pydantic.TypeAdapter(form).validate_python(content)
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        reason = f"{place}: {message}" if place else message
        raise RunError(f"cannot be used ({reason}).") from error


def read_record(form: type[Record], path: Path) -> Record:
    """Read a JSON file as a typed record.

    Raises:
        PipelineError: If the file is missing, is not JSON, or is not valid.
    """
    try:
        record: Record = check_content(form, read_json(path))
    except RunError as error:
        raise RunError(f"{path}: {error} Restore the file from the run's artifacts.") from error
    return record


def check_lengths(length: int, arrays: Mapping[str, FloatArray | IntArray]) -> None:
    """Check that each array is empty or has `length` values.

    Raises:
        ValueError: If an array has another length.
    """
    for name, array in arrays.items():
        if array.size not in (0, length):
            raise ValueError(f"{name!r} must have {length} values, but has {array.size}")


def _series(values: Any) -> FloatArray:
    try:
        array = np.asarray(values if values is not None else [], dtype=np.float64)
    except (OverflowError, TypeError, ValueError):
        raise ValueError("must be a list of numbers") from None
    if array.ndim != 1:
        raise ValueError("must be a list of numbers")
    return np.where(np.isfinite(array), array, np.nan)


def _amounts(values: Any) -> FloatArray:
    array = _series(values)
    if not (array >= 0).all():
        raise ValueError(f"must be zero or more, but is {array[~(array >= 0)][0]}")
    return array


def _numbers(values: Any) -> IntArray:
    array = _series(values)
    if not (array >= 1).all() or not (np.diff(array) > 0).all():
        raise ValueError(f"must be ascending, from 1 or more, but begins {array[:3].tolist()}")
    return array.astype(np.int64)


def _totals(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping | None):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - pydantic reports a ValueError
    parts = {name: value for name, value in (values or {}).items() if value is not None}
    return {name: float(np.nansum(_series(np.atleast_1d(part)))) for name, part in parts.items()}


Series = Annotated[FloatArray, pydantic.PlainValidator(_series)]
"""One number per epoch or step; null becomes NaN."""

Amounts = Annotated[FloatArray, pydantic.PlainValidator(_amounts)]
"""One duration or rate per epoch or step, zero or more."""

Numbers = Annotated[IntArray, pydantic.PlainValidator(_numbers)]
"""Epoch or step numbers, at least 1 and ascending."""

Totals = Annotated[dict[str, float], pydantic.PlainValidator(_totals)]
"""Name -> number. A list of numbers becomes its sum, and nulls are ignored."""


def empty() -> FloatArray:
    """Return an empty array, the default for a missing list of values."""
    return np.empty(0)


def no_numbers() -> IntArray:
    """Return an empty array, the default for missing epoch or step numbers."""
    return np.empty(0, dtype=np.int64)
