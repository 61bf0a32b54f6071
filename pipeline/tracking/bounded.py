"""Calls with a time limit, for stores that may hang."""

import threading
from collections.abc import Callable
from typing import Any


def call_within(seconds: float | None, call: Callable[[], Any]) -> Any:
    """Return the result of `call`, which runs in a thread of its own.

    The caller can be interrupted while it waits. A call that takes too long goes on in its
    thread, which ends with the process.

    Args:
        seconds: Longest wait; None waits for the end of the call.
        call: Function without arguments.

    Raises:
        TimeoutError: If the call does not end in time.
        Exception: The error of the call itself.
    """
    results: list[Any] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="mlflow-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return results[0]
