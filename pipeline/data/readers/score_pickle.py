"""Read scores from a pickle without executing code from the file.

The ChaLearn First Impressions annotations are Python 2 pickles: dictionaries of floats and
NumPy scalars. `pickle.load` can call every function that a pickle names. This reader accepts only
the names that NumPy scalars need. Instead of the functions and types with these names, it uses
classes of this module, which return only floats, bytes and float types.
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
"""Maximum size of a file. The ChaLearn files are much smaller."""

_REFUSED_OPCODES: Final = frozenset(
    # Extension codes use a cache of the process, so they can bypass `find_class`.
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
"""Errors that the unpickler raises for a damaged pickle, according to its documentation."""


class _ForbiddenError(Exception):
    """The pickle contains a name, type or opcode that scores do not need."""


def read_score_pickle(path: Path) -> Any:
    """Return the dictionaries, strings and numbers of a pickle.

    Raises:
        AnnotationError: If the file is missing, is damaged, or contains objects of other types.
            Names in the file are never imported or called.
    """
    try:
        num_bytes = path.stat().st_size
        if num_bytes > _MAX_BYTES:
            raise AnnotationError(
                f"{path}: has {num_bytes} bytes, but must have at most {_MAX_BYTES}. "
                f"Give the annotation file itself."
            )
        content = path.read_bytes()
    except OSError as error:
        raise AnnotationError(
            f"{path}: cannot be read ({error.strerror}). Check the path."
        ) from error
    try:
        _check_opcodes(content)
        return _ScoreUnpickler(io.BytesIO(content), encoding="latin1").load()
    except _ForbiddenError as error:
        raise AnnotationError(
            f"{path}: is not a safe pickle of scores: {error}. Give {{trait: {{clip: score}}}} "
            f"as ChaLearn distributes it, or a CSV table with clip_id and the traits."
        ) from error
    except _DAMAGE as error:
        reason = one_line(error)[:200]
        raise AnnotationError(
            f"{path}: is not a complete pickle ({reason}). Download or copy the file again."
        ) from error


def _check_opcodes(content: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _REFUSED_OPCODES:
            raise _ForbiddenError(f"it uses the opcode {opcode.name}")
        # The unpickler allocates one memo entry for each index up to the largest index.
        if opcode.name in _MEMO_OPCODES and int(argument or 0) > len(content):
            raise _ForbiddenError(f"it needs {argument} memo entries")


class _Replacement:
    """Base class of the replacements for names in a pickle."""

    # Without this method, a pickle could set attributes of the class.
    def __setstate__(self, state: object) -> None:
        raise _ForbiddenError("it changes a named object")


class _FloatType(_Replacement):
    """Replacement for `numpy.dtype` that accepts only float types."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("f2", "f4", "f8"):
            raise _ForbiddenError(f"it has NumPy values of type {code!r}")
        self._code = code
        self._byte_order = "<" if sys.byteorder == "little" else ">"

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">"):
            raise _ForbiddenError(f"it has a NumPy type in byte order {order!r}")
        self._byte_order = order

    def decode(self, content: bytes) -> float:
        """Return the number that `content` encodes."""
        return float(np.frombuffer(content, dtype=f"{self._byte_order}{self._code}", count=1)[0])


class _FloatScalar(_Replacement):
    """Replacement for `numpy.core.multiarray.scalar` that returns a float."""

    def __new__(cls, kind: _FloatType, content: bytes | str) -> Any:
        if not isinstance(kind, _FloatType):
            raise _ForbiddenError("it has a NumPy scalar without a type")
        # The unpickler decodes byte strings of Python 2 as latin-1.
        return kind.decode(content.encode("latin1") if isinstance(content, str) else content)


class _Latin1Bytes(_Replacement):
    """Replacement for `_codecs.encode`, which Python 3 uses for bytes in old pickle protocols."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if not isinstance(text, str) or encoding != "latin1":
            raise _ForbiddenError(f"it encodes text as {encoding!r}")
        return text.encode("latin1")


_REPLACEMENTS: Final[dict[tuple[str, str], type[_Replacement]]] = {
    ("numpy", "dtype"): _FloatType,
    ("numpy.core.multiarray", "scalar"): _FloatScalar,
    ("numpy._core.multiarray", "scalar"): _FloatScalar,
    ("_codecs", "encode"): _Latin1Bytes,
}


class _ScoreUnpickler(pickle.Unpickler):
    """Unpickler that maps names to the classes in `_REPLACEMENTS`, and never imports a module."""

    def find_class(self, module_name: str, global_name: str) -> type[_Replacement]:
        replacement = _REPLACEMENTS.get((module_name, global_name))
        if replacement is None:
            raise _ForbiddenError(f"it names {f'{module_name}.{global_name}'[:100]!r}")
        return replacement

    def persistent_load(self, pid: object) -> object:
        raise _ForbiddenError(f"it refers to an external object ({pid!r})")
