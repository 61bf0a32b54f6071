"""The command line: one sub-command per entry point of MLproject, with the same parameters.

This module and the modules of `commands` import only the standard library when they are
loaded, so that `--help` answers at once; a command imports what it needs when it runs.
"""

import argparse
import difflib
import errno
import logging
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from pipeline.commands import (
    compare,
    evaluate,
    extract,
    main_job,
    predict,
    prepare,
    search,
    sync,
    train,
    verify,
    visualize,
)
from pipeline.core.errors import (
    EXIT_INCOMPLETE,
    EXIT_USER_ERROR,
    IncompleteError,
    PipelineError,
)
from pipeline.core.urls import hide_passwords

COMMANDS = {
    "main": main_job,
    "train": train,
    "evaluate": evaluate,
    "visualize": visualize,
    "search": search,
    "compare": compare,
    "extract": extract,
    "predict": predict,
    "prepare": prepare,
    "sync": sync,
    "verify": verify,
}

_EXIT_INTERRUPTED = 130
_NOT_YOURS = "You may not write there: give another place, or work on a copy that is yours."
_CURES = {
    errno.EACCES: _NOT_YOURS,
    errno.EPERM: _NOT_YOURS,
    errno.EROFS: _NOT_YOURS,
    errno.ENOSPC: "Make room on the disk, and run the same command again.",
}
"""What mends an error of the file system."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 1 our fault, 2 wrong input, 3 done in part."""
    warnings.showwarning = _show_warning
    sys.excepthook = _show_fault
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LogLine())
    signal.signal(signal.SIGTERM, _interrupt)
    arguments = parse(argv)
    try:
        return int(COMMANDS[arguments.command].run(arguments))
    except IncompleteError as error:
        return _fail(str(error), EXIT_INCOMPLETE)
    except PipelineError as error:
        return _fail(str(error), EXIT_USER_ERROR)
    except OSError as error:
        if error.filename is None:
            raise
        cure = _CURES.get(error.errno or 0, "")
        return _fail(f"{error.filename}: {error.strerror}. {cure}", EXIT_USER_ERROR)
    except KeyboardInterrupt as interrupt:
        notes = getattr(interrupt, "__notes__", ())  # how to go on, of whoever knows
        return _fail(" ".join(("interrupted.", *notes)), _EXIT_INTERRUPTED)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; dotted overrides end up in `overrides`."""
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    overrides = _read_overrides(parser, rest)
    for name in overrides:
        nearest = difflib.get_close_matches(name, vars(arguments), n=1, cutoff=0.8)
        if nearest:
            parser.error(f"{arguments.command} has no option --{name}; did you mean --{nearest[0]}")
    if overrides and not COMMANDS[arguments.command].TAKES_OVERRIDES:
        parser.error(f"{arguments.command} has no option --{next(iter(overrides))}")
    arguments.overrides = overrides
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="python -m pipeline",
        description="Predict apparent OCEAN personality traits from short video clips.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(
            name,
            help=summary.replace("%", "%%"),
            description=summary,
            epilog=module.EPILOG,
            allow_abbrev=False,
        )
        module.add_arguments(command)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}. See `{self.prog} --help`.", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_USER_ERROR)


class _LogLine(logging.Formatter):
    """What is logged, as what is warned of: `warning: ...`."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {hide_passwords(super().format(record))}"


def _read_overrides(parser: argparse.ArgumentParser, rest: Sequence[str]) -> dict[str, str]:
    """Read `--a.b value` and `--a.b=value`; `mlflow run` appends undeclared parameters so."""
    overrides: dict[str, str] = {}
    tokens = list(rest)
    while tokens:
        token = tokens.pop(0)
        name, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--") or not name:
            parser.error(f"unexpected argument {token!r}")
        if not equals:
            if not tokens or tokens[0].startswith("--"):
                parser.error(f"--{name} needs a value")
            value = tokens.pop(0)
        overrides[name] = value
    return overrides


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {hide_passwords(str(message))}", file=sys.stderr)  # noqa: T201


def _show_fault(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    print(hide_passwords(text), end="", file=sys.stderr)  # noqa: T201


def _interrupt(signal_number: int, frame: Any) -> NoReturn:
    del signal_number, frame
    raise KeyboardInterrupt


def _fail(message: str, status: int) -> int:
    print(f"error: {hide_passwords(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201
    return status
