"""Command line: one sub-command per entry point of `MLproject`, with the same parameters.

The import of this module and of the package `commands` loads no slow libraries, so `--help` is
fast. The other modules are imported when a command runs.
"""

import argparse
import errno
import logging
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline import __version__
from pipeline.commands import (
    compare,
    config,
    demo,
    evaluate,
    extract,
    predict,
    prepare,
    search,
    summarize,
    sync,
    train,
    verify,
    visualize,
)
from pipeline.commands.project_run import enter_caller_directory
from pipeline.core.errors import (
    EXIT_INCOMPLETE,
    EXIT_USER_ERROR,
    IncompleteError,
    PipelineError,
)
from pipeline.core.installation import SCRIPT, program
from pipeline.core.interrupts import interrupt_handlers, interrupt_status, interrupts_restored
from pipeline.core.near_names import nearest_name
from pipeline.core.standard_streams import safe_standard_streams
from pipeline.core.tensorflow_import import set_backends
from pipeline.core.urls import hide_passwords

COMMANDS = {
    "main": demo,
    "train": train,
    "evaluate": evaluate,
    "visualize": visualize,
    "search": search,
    "compare": compare,
    "summarize": summarize,
    "extract": extract,
    "predict": predict,
    "prepare": prepare,
    "sync": sync,
    "verify": verify,
    "config": config,
}

_FORBIDDEN = "You may not write there. Give another path, or work on your own copy."
_FIXES = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOSPC: "Make room on this disk.",
    errno.EDQUOT: "Make room within your disk quota.",
    errno.EFBIG: "Raise the limit on the size of files (`ulimit -f`).",
}
"""File system error number -> advice to the user."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Returns:
        0 success, 1 internal error, 2 invalid input, 3 partly done. If a signal ends the
        command, the status is 128 plus the signal number: 130 SIGINT, 143 SIGTERM, 129 SIGHUP.
    """
    warnings.showwarning = _show_warning
    sys.excepthook = _show_internal_error
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LogLine())
    set_backends()
    with safe_standard_streams(), interrupt_handlers():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parse(argv)
        enter_caller_directory(arguments)
        with interrupts_restored():
            status = int(COMMANDS[arguments.command].run(arguments))
        sys.stdout.flush()
    except IncompleteError as error:
        return _fail(error, EXIT_INCOMPLETE)
    except PipelineError as error:
        return _fail(error, EXIT_USER_ERROR)
    except KeyboardInterrupt as interrupt:
        return _fail("interrupted.", interrupt_status(), notes=_notes(interrupt))
    except Exception as error:
        message = _file_system_message(error)
        if message is None:
            raise
        return _fail(message, EXIT_USER_ERROR, notes=_notes(error))
    return status


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line. Undeclared options are stored in `overrides`."""
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    options = [name for name in vars(arguments) if name != "command"]
    overrides = _read_overrides(parser, rest, options)
    takes_overrides = COMMANDS[arguments.command].TAKES_OVERRIDES
    for name in overrides:
        similar = nearest_name(name, options)
        # Settings are checked when the configuration is loaded.
        if not takes_overrides or (similar and not _is_setting(name)):
            hint = f"; did you mean --{similar}?" if similar else ""
            parser.error(f"{arguments.command} has no option --{name}{hint}")
    arguments.overrides = overrides
    return arguments


def _is_setting(name: str) -> bool:
    """Return True for a dotted name, and for the last part of the name of a setting."""
    if "." in name:
        return True
    from pipeline.config.loading import setting_names
    from pipeline.core.near_names import is_setting

    return is_setting(name, setting_names())


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = _Parser(
        prog=program(),
        description="Predict apparent OCEAN personality traits from short video clips.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{SCRIPT} {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").partition("\n")[0]  # `python -OO` removes docstrings
        command = commands.add_parser(
            name,
            help=summary.replace("%", "%%"),
            description=summary,
            epilog=module.EPILOG,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.settings_help = getattr(module, "settings_help", None)
    return parser


class _Parser(argparse.ArgumentParser):
    """Parser that prints an error as one line.

    If a value is not one of the choices, the line suggests the most similar choice, if any.
    """

    settings_help: Callable[[], str] | None = None
    """Function that returns the end of the help text: settings of the command."""

    def format_help(self) -> str:
        settings = "" if self.settings_help is None else f"\n{self.settings_help()}\n"
        return super().format_help() + settings

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        print(f"error: {message}{end} See `{self.prog} --help`.", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_USER_ERROR)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            similar = nearest_name(str(value), map(str, action.choices or ()))
            if similar:
                error.message = f"invalid choice: {value!r}; did you mean {similar}?"
            raise


class _LogLine(logging.Formatter):
    """Formatter that begins a log line with its level, like `_show_warning`: `warning: ...`."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {hide_passwords(super().format(record))}"


def _read_overrides(
    parser: argparse.ArgumentParser, rest: Sequence[str], options: Sequence[str]
) -> dict[str, str]:
    """Read `--a.b value` and `--a.b=value`. `mlflow run` appends parameters in this form."""
    overrides: dict[str, str] = {}
    tokens = list(rest)
    while tokens:
        token = tokens.pop(0)
        name, equals, value = token.removeprefix("--").partition("=")
        if not token.startswith("--") or not name:
            parser.error(_unexpected(token, options))
        if not equals:
            if not tokens or tokens[0].startswith("--"):
                parser.error(f"--{name} needs a value")
            value = tokens.pop(0)
        overrides[name] = value
    return overrides


def _unexpected(token: str, options: Sequence[str]) -> str:
    """Return the error message for an argument such as `run_dir=x`, `-run_dir` or `a b`."""
    name = token.lstrip("-\u2013\u2014").partition("=")[0]
    is_like_option = token != name or name in options
    similar = nearest_name(name, options) if is_like_option else None
    usage = "expected --NAME VALUE; put a value that has spaces in quotes"
    fix = f"did you mean --{similar}?" if similar else usage
    return f"unexpected argument {token!r}; {fix}"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {hide_passwords(str(message))}", file=sys.stderr)  # noqa: T201


def _show_internal_error(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    print(hide_passwords(text), end="", file=sys.stderr)  # noqa: T201


def _file_system_message(error: Exception) -> str | None:
    """Return the error message if the file system caused the error, else None."""
    from pipeline.core.files import disk_error

    number = disk_error(error)
    name = getattr(error, "filename", None)
    if isinstance(error, OSError) and name is not None:
        number, reason = error.errno, error.strerror
    elif number is not None:
        # The error contains no file name, but the file is in one of these directories.
        name, reason = f"{Path.cwd()} or {tempfile.gettempdir()}", os.strerror(number)
    else:
        return None
    return f"{name}: {reason}. {_FIXES.get(number or 0, '')}"


def _notes(error: BaseException) -> Sequence[str]:
    return getattr(error, "__notes__", ())


def _fail(message: object, status: int, *, notes: Sequence[str] = ()) -> int:
    line = " ".join((str(message), *notes))
    print(f"error: {hide_passwords(' '.join(line.split()))}", file=sys.stderr)  # noqa: T201
    return status
