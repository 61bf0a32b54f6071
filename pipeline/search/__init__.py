"""Hyper-parameter search with Optuna: space, study, trials and workers.

The package can be called as a function: `pipeline.search(...)` runs a search, see `interface.py`.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """Package with the same name as the function `search` of the Python interface."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from pipeline.search.interface import search

        return search(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
