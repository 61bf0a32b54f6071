"""Read the numbers out of a pickle without running anything it names.

The ChaLearn First Impressions annotations are Python 2 pickles of dictionaries of
floats, some of them NumPy scalars. A pickle is a program: it may name any function and
call it. Here it may name three, and gets stand-ins for them that return floats.
"""

import io
import pickle
import pickletools
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.errors import AnnotationError, one_line

_MAX_BYTES: Final = 256 * 2**20
"""No annotation file comes near it; a larger file is another file."""

_REFUSED_OPCODES: Final = frozenset(
    # Extension codes are resolved from a cache of the process, past `find_class`.
    {"EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"}
)

_MEMO_OPCODES: Final = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})

_DAMAGE: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
"""What the unpickler raises for a damaged stream; its documentation warns of the variety."""


class _ForbiddenError(Exception):
    """The pickle asks for more than numbers."""


def read_score_pickle(path: Path) -> Any:
    """Return the dictionaries, strings and numbers that a pickle holds.

    Raises:
        AnnotationError: If the file is missing, is no pickle, is cut short, or names
            anything but a NumPy float scalar. Nothing it names is imported or called.
    """
    content = _read_bytes(path)
    try:
        _check_opcodes(content)
        return _ScoreUnpickler(io.BytesIO(content), encoding="latin1").load()
    except _ForbiddenError as error:
        raise AnnotationError(
            f"{path}: is refused, as {error}. Expected {{trait: {{clip: score}}}} as "
            f"ChaLearn distributes it; a CSV with clip_id and the traits is read as well."
        ) from error
    except _DAMAGE as error:
        reason = one_line(error)[:200]
        raise AnnotationError(
            f"{path}: is not a whole pickle ({reason}). Download or copy the file again."
        ) from error


def _read_bytes(path: Path) -> bytes:
    try:
        num_bytes = path.stat().st_size
        if num_bytes > _MAX_BYTES:
            raise AnnotationError(
                f"{path}: is {num_bytes} bytes large, expected at most {_MAX_BYTES}. "
                f"Give the annotation file itself."
            )
        return path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error.strerror}). Check the path."
        ) from error


def _check_opcodes(content: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _REFUSED_OPCODES:
            raise _ForbiddenError(f"it uses the opcode {opcode.name}")
        # The unpickler makes room for the memo up to the largest index.
        if opcode.name in _MEMO_OPCODES and int(argument or 0) > len(content):
            raise _ForbiddenError(f"it asks for {argument} memo entries")


class _StandIn:
    """Takes the place of what a pickle names.

    A pickle may set the attributes of what it has named, unless there is a method for it.
    """

    def __setstate__(self, state: object) -> None:
        raise _ForbiddenError("it changes what it names")


class _FloatType(_StandIn):
    """Stands in for `numpy.dtype`: one of the float types."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("f2", "f4", "f8"):
            raise _ForbiddenError(f"it holds NumPy values of type {code!r}")
        self._code = code
        self._byte_order = "<" if sys.byteorder == "little" else ">"

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">"):
            raise _ForbiddenError(f"it holds a NumPy type in byte order {order!r}")
        self._byte_order = order

    def decode(self, content: bytes) -> float:
        """Return the one number that `content` holds."""
        return float(np.frombuffer(content, dtype=f"{self._byte_order}{self._code}", count=1)[0])


class _FloatScalar(_StandIn):
    """Stands in for `numpy.core.multiarray.scalar`: calling it returns a float."""

    def __new__(cls, kind: _FloatType, content: bytes | str) -> Any:
        if not isinstance(kind, _FloatType):
            raise _ForbiddenError("it holds a NumPy scalar without a type")
        # Python 2 had no bytes: its strings arrive decoded as latin-1.
        return kind.decode(content.encode("latin1") if isinstance(content, str) else content)


class _Latin1Bytes(_StandIn):
    """Stands in for `_codecs.encode`, with which Python 3 writes bytes into old pickles."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if not isinstance(text, str) or encoding != "latin1":
            raise _ForbiddenError(f"it encodes text as {encoding!r}")
        return text.encode("latin1")


_STAND_INS: Final[dict[tuple[str, str], type[_StandIn]]] = {
    ("numpy", "dtype"): _FloatType,
    ("numpy.core.multiarray", "scalar"): _FloatScalar,
    ("numpy._core.multiarray", "scalar"): _FloatScalar,
    ("_codecs", "encode"): _Latin1Bytes,
}


class _ScoreUnpickler(pickle.Unpickler):
    """Resolves names to stand-ins only; the named module is never imported."""

    def find_class(self, module_name: str, global_name: str) -> type[_StandIn]:
        stand_in = _STAND_INS.get((module_name, global_name))
        if stand_in is None:
            raise _ForbiddenError(f"it names {f'{module_name}.{global_name}'[:100]!r}")
        return stand_in

    def persistent_load(self, pid: object) -> object:
        raise _ForbiddenError(f"it refers to an object outside it ({pid!r})")
