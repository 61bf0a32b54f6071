"""A real `mlflow server`, and a proxy that loses its replies."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

from tests.loopback import free_port, wait_for_server


class Server:
    """A real `mlflow server` on the loopback, which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--backend-store-uri", f"sqlite:///{self._directory / 'mlflow.db'}"),
            *("--artifacts-destination", str(self._directory / "artifacts")),
        ]
        self._process = subprocess.Popen(
            command,
            cwd=self._directory,
            env={
                **os.environ,
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the server starts workers: they are signalled together
        )
        wait_for_server(f"{self.uri}/health", self._process)

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Proxy:
    """Forwards requests. `mode` is the treatment of replies.

    `pass` forwards them, `cut` closes the connection, `hang` sends nothing.
    """

    def __init__(self, server_uri: str) -> None:
        address = urllib.parse.urlsplit(server_uri)
        self._server = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.mode = "pass"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for pump, ends in (
                    (self._forward_request, (client, server)),
                    (self._forward_reply, (server, client)),
                ):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    def _forward_request(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), server:
            while chunk := client.recv(65536):
                server.sendall(chunk)

    def _forward_reply(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            while chunk := server.recv(65536):
                if self.mode == "cut":
                    client.shutdown(socket.SHUT_RDWR)
                    return
                if self.mode == "pass":
                    client.sendall(chunk)
