"""Imports that Python's collection of garbage does not slow down."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Collect no garbage inside, and keep later collections away from what is there at the end.

    For the import of TensorFlow and Keras in a process of our own: they leave a million
    objects of which none is garbage. To walk through them takes a fifth of the import, and half
    a second of every full collection after it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.freeze()
