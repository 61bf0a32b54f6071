"""A name for the shapes that Keras hands to layers."""

from typing import Any, TypeAlias

Shape: TypeAlias = tuple[Any, ...]
"""Sizes of the axes, the batch first; None where a size is open."""
