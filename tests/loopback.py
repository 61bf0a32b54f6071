"""Servers that tests start on this machine: where they listen, and when they do."""

import socket
import subprocess
import time
import urllib.request
from typing import Any

_START_SECONDS = 180


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(url: str, process: subprocess.Popen[Any]) -> None:
    """Return as soon as a server answers; fail if it ends before, or never does."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
