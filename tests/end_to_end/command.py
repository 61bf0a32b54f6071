"""A command of the pipeline, run in the process of the tests."""

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

_UNHEARD = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""What Python does not show where no test is run."""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Finished]


@contextlib.contextmanager
def pipeline_here() -> Iterator[Command]:
    """Give a function that runs a command in this process, which has TensorFlow already.

    What TensorFlow itself writes is not looked at: it is held back where a process begins.
    """
    import mlflow

    from pipeline.cli import main
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    import_tensorflow_quietly()
    interrupt = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        mlflow.set_tracking_uri(None)
        for category in _UNHEARD:
            warnings.simplefilter("ignore", category)

        def finish(*arguments: object, cwd: Path) -> Finished:
            patch.chdir(cwd)
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    status = main([str(argument) for argument in arguments])
                except SystemExit as stop:
                    status = int(stop.code or 0)
            return Finished(status, out.getvalue(), err.getvalue())

        try:
            yield finish
        finally:
            signal.signal(signal.SIGTERM, interrupt)
            logging.lastResort.setFormatter(None)
            mlflow.set_tracking_uri(None)
