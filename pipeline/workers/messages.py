"""Collect the warnings and errors in a helper process, and show them in the main process."""

import logging
import warnings
from collections.abc import Sequence
from typing import Any

Message = tuple[str, int, str]
"""Name of a logger, level, and text."""


class MessageCollector(logging.Handler):
    """Handler that collects logged warnings and errors, and Python warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[Message] = []

    def install(self) -> None:
        """Collect all later messages of this process."""
        logging.getLogger().addHandler(self)
        warnings.showwarning = self._add_python_warning

    def emit(self, record: logging.LogRecord) -> None:  # noqa: D102
        self._messages.append((record.name, record.levelno, record.getMessage()))

    def take(self) -> tuple[Message, ...]:
        """Return and remove the collected messages."""
        messages = tuple(self._messages)
        self._messages.clear()
        return messages

    def _add_python_warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self._messages.append(("py.warnings", logging.WARNING, str(message)))


def show_messages(messages: Sequence[Message]) -> None:
    """Log the messages of another process."""
    for name, level, text in messages:
        logging.getLogger(name).log(level, "%s", text)
