"""Names of feature streams, and their order in a feature set."""

import re
from collections.abc import Iterable
from typing import Final

STATIC: Final = "static"
"""Name of the stream that describes the face in each frame."""

DYNAMIC: Final = "dynamic"
"""Name of the stream that describes the motion of the face."""

MASK_ENDING: Final = "_mask"
"""Ending of the file and of the model input with the mask of a stream."""

SECONDS_ENDING: Final = "_seconds"
"""Ending of the file with the times of the steps of a stream."""

_RESERVED: Final = ("labels", "seconds", "traits", "others")


def stream_name_fault(name: str) -> str:
    """Return the reason why `name` is not a valid stream name, or ""."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return "must consist of letters (a-z), digits, _ and -"
    if not name[0].isalnum():  # TensorFlow needs this
        return "must begin with a letter or a digit"
    if name in _RESERVED:
        return f"must not be {', '.join(_RESERVED)}"
    for ending in (MASK_ENDING, SECONDS_ENDING):
        if name.endswith(ending):
            return f"must not end with {ending}"
    return "must not contain _to_" if "_to_" in name else ""


def ordered_streams(names: Iterable[str]) -> tuple[str, ...]:
    """Return the default order: static, dynamic, then the other streams by name."""
    first = (STATIC, DYNAMIC)
    return tuple(sorted(names, key=lambda name: (name not in first, name != STATIC, name)))
