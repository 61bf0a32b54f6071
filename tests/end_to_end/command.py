"""Run a command of the pipeline in the process of the tests."""

import contextlib
import io
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.core import progress_lines

_HIDDEN_WARNINGS = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python hides outside tests."""


@dataclass(frozen=True)
class Result:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    def error_line(self, status: int = 2) -> str:
        """Return the only line of stderr; fail for another status or number of lines."""
        assert self.status == status, self
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


Command = Callable[..., Result]


@contextlib.contextmanager
def in_process() -> Iterator[Command]:
    """Yield a function that runs a command in this process, so TensorFlow is imported only once.

    The output of native code is not captured.
    """
    import mlflow

    from pipeline.cli import main
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    import_tensorflow_quietly()
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        mlflow.set_tracking_uri(None)
        # On a slow machine, progress lines would be mixed with error messages.
        patch.setattr(progress_lines, "LINE_SECONDS", float("inf"))
        for category in _HIDDEN_WARNINGS:
            warnings.simplefilter("ignore", category)

        def run(*arguments: object, cwd: Path) -> Result:
            patch.chdir(cwd)
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    status = main([str(argument) for argument in arguments])
                except SystemExit as stop:
                    status = int(stop.code or 0)
            return Result(status, out.getvalue(), err.getvalue())

        try:
            yield run
        finally:
            signal.signal(signal.SIGTERM, handler)
            logging.lastResort.setFormatter(None)
            mlflow.set_tracking_uri(None)
